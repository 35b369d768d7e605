//! The `tessera` binary: one thin file per subcommand; the only place where the parts are put together.

mod audit;
mod config;
mod config_command;
mod control;
mod conversations;
mod dead_letters;
mod erasure;
mod eval;
mod explain_access;
mod import;
mod import_postgres;
mod index_stream;
mod ingest;
mod keys;
mod latest_evaluation;
mod listen;
mod memory;
mod metrics;
mod parts;
mod produce;
mod ready;
mod reindex;
mod restore;
mod search;
mod serve;
mod snapshot;
mod suggest;
mod traces;
mod usage;
mod verify;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use config::Config;

/// Search over workspace content that shows each person exactly what they may see.
#[derive(Parser)]
#[command(name = "tessera", version, about)]
struct Arguments {
    /// Configuration file [default: tessera.toml, if it is there].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the index and everything else that is kept [default: .tessera].
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the HTTP API.
    Serve(serve::Arguments),
    /// Says whether the server of this configuration is ready, by how it ends.
    Ready(ready::Arguments),
    /// Indexes a Kafka topic, an index for each partition, together with other indexers of its group.
    Indexer,
    /// Imports pages, groups and members.
    Import(import::Arguments),
    /// Writes events to Kafka, as a product would.
    Produce(produce::Arguments),
    /// Lists events that were turned down, or writes them to the stream again.
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Searches as a person.
    Search(search::Arguments),
    /// Completes what a person is typing.
    Suggest(suggest::Arguments),
    /// Builds the index anew for another model or passage size, beside the one in use, and switches to it.
    Reindex(reindex::Arguments),
    /// Says why a person can or cannot see a page.
    ExplainAccess(explain_access::Arguments),
    /// Makes, lists, replaces and revokes the keys of services.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Proves the audit log, and shows who did what.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Lists erasures, and verifies their receipts.
    #[command(subcommand)]
    Erasure(erasure::Command),
    /// Takes, lists and verifies snapshots of the index.
    Snapshot(snapshot::Arguments),
    /// Puts a snapshot in the place of the index.
    Restore(restore::Arguments),
    /// Compares the index with its records, and repairs what differs.
    Verify(verify::Arguments),
    /// Measures what search and answers are worth.
    #[command(subcommand)]
    Eval(eval::Command),
    /// Checks or shows the configuration.
    #[command(subcommand)]
    Config(config_command::Command),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output went away, as `head` does: nothing is wrong.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Command::Completions { shell } = arguments.command {
        clap_complete::generate(shell, &mut Arguments::command(), "tessera", &mut io::stdout());
        return Ok(());
    }
    if let Command::Config(config_command::Command::Docs { key }) = &arguments.command {
        return config_command::docs(&mut io::stdout().lock(), key.as_deref());
    }
    let mut config = Config::load(arguments.config.as_deref()).context("cannot use the configuration")?;
    if let Some(dir) = arguments.data_dir {
        config.data_dir = dir;
    }
    match arguments.command {
        Command::Serve(arguments) => serve::run(config, &arguments),
        Command::Ready(arguments) => ready::run(&config, &arguments),
        Command::Indexer => index_stream::run(&config),
        Command::Import(arguments) => import::run(&config, arguments),
        Command::Produce(arguments) => produce::run(&config, &arguments),
        Command::DeadLetters(command) => dead_letters::run(&config, &command),
        Command::Search(arguments) => search::run(&config, arguments),
        Command::Suggest(arguments) => suggest::run(&config, arguments),
        Command::Reindex(arguments) => reindex::run(&config, &arguments),
        Command::ExplainAccess(arguments) => explain_access::run(&config, &arguments),
        Command::Keys(command) => keys::run(&config, command),
        Command::Audit(command) => audit::run(&config, command),
        Command::Erasure(command) => erasure::run(&config, &command),
        Command::Snapshot(arguments) => snapshot::run(&config, &arguments),
        Command::Restore(arguments) => restore::run(&config, &arguments),
        Command::Verify(arguments) => verify::run(&config, &arguments),
        Command::Eval(command) => eval::run(&config, command),
        Command::Config(command) => config_command::run(&config, &command),
        Command::Completions { .. } => Ok(()),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
