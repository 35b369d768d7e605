//! `tessera config`: checks the configuration, or shows all of it with its defaults.

use std::io::Write;

use clap::Subcommand;

use crate::config::Config;
use crate::memory;

/// What to do with the configuration.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Reads the file and the environment and says what is wrong, and which part may take how much memory.
    Check,
    /// Prints the effective configuration as TOML, with the memory of each part. It holds no secrets.
    Show,
}

/// Runs it. The configuration was read and checked before.
pub(crate) fn run(config: &Config, command: &Command) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Check => {
            query::http::auth::Auth::new(&config.auth.identities, config.secrets()?).map(drop).or_else(|error| {
                // A laptop needs no identities: `serve --dev` brings its own.
                writeln!(out, "note: {error}").map_err(anyhow::Error::from)
            })?;
            for endpoint in config.endpoints_without_key() {
                writeln!(out, "note: the endpoint {} is left out: {} is not set", endpoint.name, endpoint.key_env)?;
            }
            writeln!(out, "the configuration is good\n\n{}", memory::table_of(config)?.replace("# ", ""))?;
        }
        Command::Show => write!(out, "{}\n{}", memory::table_of(config)?, toml::to_string(config)?)?,
    }
    Ok(())
}
