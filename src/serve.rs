//! `tessera serve`: the write side and the read side in one process, over HTTP, until it is told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use index::OpenMode;
use models::embed::Embedders;
use models::generate::Generate;
use query::audit::Audit;
use query::audit::act::{Act, Actor, Kind, What};
use query::conversations::Conversations;
use query::erasure::{Erasures, Parts};
use query::feedback::Feedback;
use query::http::{App, Records};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::conversations::sweep_always;
use crate::erasure::stores::{self, not_reached, stores};
use crate::ingest::IndexerIngest;
use crate::listen::listen;
use crate::metrics::{self, Modelling, Writing};
use crate::reindex::Site;
use crate::traces::Traces;
use crate::usage::forget_erased_always;
use crate::{audit, control, latest_evaluation, memory, parts};

/// How long the usage ledger is waited for at the end.
const LEDGER_FLUSH_MAX: Duration = Duration::from_secs(10);

/// How to serve.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Believe the headers `Tessera-Workspace` and `Tessera-User`: for trying things out, on this machine alone.
    #[arg(long)]
    dev: bool,
}

/// Serves until SIGINT or SIGTERM: then requests in flight end, what was taken in is committed, and the process exits.
/// A second signal exits at once.
pub(crate) fn run(mut config: Config, arguments: &Arguments) -> anyhow::Result<()> {
    let traces = Traces::start(&config.traces, Config::traces_authorization()?.as_ref(), &config.log)?;
    config.auth.identities.insecure_development |= arguments.dev;
    let auth = config
        .secrets()
        .and_then(|secrets| config.auth(secrets))
        .context("cannot tell callers apart; to try things out on this machine, run `tessera serve --dev`")?;
    let index = parts::open_index(&config, OpenMode::ReadWrite)?;
    memory::warn_of_content(&config, &index)?;
    let embedder = parts::start_embedder(&config, &index);
    let counters = indexer::metrics::Metrics::default();
    let indexer = parts::open_counting_indexer(&config, index.clone(), embedder.clone(), counters.clone())?;
    let embedders = Embedders::from(embedder);
    let generate = parts::open_generate(&config, traces.propagate().as_ref());
    let writer = generate.clone().map(|generate| generate as Arc<dyn Generate>);
    let engine = parts::open_query(&config, index.clone(), embedders.clone(), writer)?;
    let feedback = Feedback::open(&config.data_dir, &config.query.feedback, index.clone())
        .with_context(|| cannot_open(&config.data_dir.join(query::feedback::FOLDER), "query.feedback.enabled"))?;
    let audit = Audit::open(&config.data_dir, &config.audit, audit::key()?, Arc::new(index.clone()))
        .with_context(|| cannot_open(&config.data_dir.join(query::audit::FOLDER), "audit.enabled"))?;
    let site = Site {
        index: index.clone(),
        indexer: indexer.clone(),
        embedders: embedders.clone(),
        query: config.query.clone(),
    };
    let control = control::listen(&config.data_dir, site)?;
    let stream = parts::start_stream(&config, indexer.clone())?.map(Arc::new);
    let follower = parts::start_follower(&config, indexer.clone())?;
    let ingest = Arc::new(IndexerIngest {
        indexer: indexer.clone(),
        stream: stream.clone(),
        feedback: feedback.clone(),
        audit: audit.clone(),
    });
    let usage = parts::open_usage(&config, generate.as_deref());
    let writing = Writing {
        metrics: counters,
        engines: Box::new({
            let indexer = indexer.clone();
            move || vec![indexer.clone()]
        }),
        stream: Box::new({
            let stream = stream.clone();
            move || stream.as_ref().map(|stream| stream.status())
        }),
    };
    let modelling = Modelling { embedders: embedders.clone(), providers: generate.clone() };
    let metrics = Some(metrics::gather(writing, modelling));
    let conversations = Conversations::open(&config.data_dir, &config.query.conversations, index.clone());
    let erased_from = stores(stores::Site {
        data_dir: config.data_dir.clone(),
        indexer: indexer.clone(),
        engine: engine.clone(),
        feedback: feedback.clone(),
        feedback_config: config.query.feedback.clone(),
        conversations: conversations.clone(),
        usage: usage.clone(),
        usage_config: config.models.generate.ledger.clone(),
        audit: audit.clone(),
        audit_config: config.audit.clone(),
        audit_key: audit::key()?,
    });
    let not_reached = not_reached(&config.data_dir, config.kafka.is_enabled(), config.query.answer.resume);
    let erasures = Parts { stores: erased_from, not_reached, audit: audit.clone() };
    let erasures = Erasures::open(&config.data_dir, &config.erasure, erasures).context("cannot open the erasures")?;
    let records = Records {
        feedback: feedback.clone(),
        audit: audit.clone(),
        erasures: Some(erasures.clone()),
        conversations: Some(conversations.clone()),
        usage: usage.clone(),
        budgets: config.models.generate.budgets.clone(),
        evaluated: latest_evaluation::reader(&config.http.evaluation_file),
        metrics,
        traces: traces.adopt(),
    };
    let mut http = config.http.limits.clone();
    let issuer = &config.auth.identities.oidc.issuer;
    if http.authorization_servers.is_empty() && !issuer.is_empty() {
        http.authorization_servers.push(issuer.clone());
    }
    let app = App::recording(engine.clone(), ingest, records, auth, http);
    let address = arguments.listen.unwrap_or(config.http.listen);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let served = runtime.block_on(async {
        let listener = listen(address, "`--listen` or `http.listen`").await?;
        note(audit.as_ref(), Kind::ServerStarted);
        tracing::info!(address = %listener.local_addr()?, data_dir = %config.data_dir.display(), "serving");
        let shutdown = CancellationToken::new();
        tokio::spawn(stop_on_signals(shutdown.clone()));
        metrics::serve(&config.metrics, app.gather(), shutdown.clone()).await?;
        tokio::spawn(sweep_always(conversations));
        if let Some(ledger) = usage.clone() {
            tokio::spawn(forget_erased_always(ledger, index, engine));
        }
        app.run(listener, shutdown).await.context("the server failed")
    });
    if let Some(stream) = stream {
        stream.stop();
    }
    if let Some(mut follower) = follower {
        follower.stop();
    }
    // An erasure waits for its purge, which may take as long as all segments take to be written again.
    indexer.stop_purges();
    erasures.close();
    let committed = indexer.close();
    control.stop();
    if let Some(feedback) = feedback {
        feedback.close();
    }
    if let Some(audit) = audit {
        note(Some(&audit), Kind::ServerStopped);
        audit.close();
    }
    runtime.shutdown_background();
    if let Some(usage) = usage
        && !usage.flush(LEDGER_FLUSH_MAX)
    {
        tracing::error!("what was spent last could not be written to the usage ledger");
    }
    traces.stop();
    served?;
    anyhow::ensure!(committed, "what was taken in last could not be committed; its senders were not told that it was");
    tracing::info!("stopped");
    Ok(())
}

/// Says that a log cannot be opened, and what to do.
fn cannot_open(folder: &Path, key: &str) -> String {
    format!(
        "cannot open the log in {}: let this user write there, or switch it off by `{key} = false`",
        folder.display()
    )
}

/// Records something about the server. What cannot be recorded is counted.
fn note(audit: Option<&Audit>, kind: Kind) {
    let what = What::new(kind).noting("release", env!("CARGO_PKG_VERSION"));
    let _ = audit.map(|audit| audit.record(Act { who: Actor::System.into(), what }));
}

/// Cancels at the first signal to stop, and exits at the second.
pub(crate) async fn stop_on_signals(shutdown: CancellationToken) {
    signal().await;
    tracing::info!("stopping; a second signal stops at once");
    shutdown.cancel();
    signal().await;
    std::process::exit(1);
}

async fn signal() {
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
