//! The `tessera` binary: one thin file per subcommand; the only place where the parts are put together.
fn main() {}
