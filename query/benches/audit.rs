//! What the audit log costs a search that shows 20 pages: the time that the request pays to hand its act over, and the processor time that the
//! writer pays for a line, the file and the disk included.
//!
//! 100,000 acts by 1,000 people on pages with ids of 36 bytes, in rounds of 1,000, as many as fit into the queue; each round is
//! waited for. No random numbers. Run by `cargo bench -p query --bench audit`.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use query::audit::act::{Act, Actor, Kind, What, Who};
use query::audit::{Audit, AuditConfig, AuditKey, Erased};
use schemas::ids::{PageId, UserId, WorkspaceId};

const ROUNDS: usize = 100;
const ROUND: usize = 1_000;
const PAGES: usize = 20;

/// Nobody was erased.
struct Nobody;

impl Erased for Nobody {
    fn workspace(&self, _: &WorkspaceId) -> bool {
        false
    }

    fn person(&self, _: &WorkspaceId, _: &UserId) -> bool {
        false
    }

    fn fingerprint(&self) -> [u8; 32] {
        [0; 32]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    for (name, key) in [("chained", None), ("chained, authenticated", AuditKey::new(&[7; 32]))] {
        measure(name, key)?;
    }
    Ok(())
}

fn measure(name: &str, key: Option<AuditKey>) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let audit = Audit::open(dir.path(), &AuditConfig::default(), key, Arc::new(Nobody))?.ok_or("it is on")?;
    let workspace = WorkspaceId::new("acme")?;
    let page = |n: usize| PageId::new(format!("1f0c9a52-6d3e-4b7a-9c41-{n:012}"));
    let pages = (0..PAGES).map(page).collect::<Result<Vec<_>, _>>()?;
    let people = (0..ROUND).map(|n| UserId::new(format!("person-{n}"))).collect::<Result<Vec<_>, _>>()?;
    let mut times = Vec::with_capacity(ROUNDS * ROUND);
    let (before, started) = (processor_time()?, Instant::now());
    let mut handing = Duration::ZERO;
    for _ in 0..ROUNDS {
        for user in &people {
            let began = Instant::now();
            let what = What::new(Kind::Search).within(&workspace).on(&pages);
            let what = What { request: Some("0123456789abcdef0123456789abcdef".to_owned()), ..what };
            let who = Who::from(Actor::Person { user: user.clone() });
            audit.record(Act { who, what })?;
            times.push(began.elapsed());
        }
        handing = times.iter().sum();
        if !audit.settle(Duration::from_mins(1)) {
            return Err("it was not written in a minute".into());
        }
    }
    let (wall, used) = (started.elapsed(), processor_time()?.saturating_sub(before));
    times.sort_unstable();
    let acts = times.len();
    let at = |share: f64| times[((acts - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let writer = used.saturating_sub(handing).as_secs_f64() * 1e6 / acts as f64;
    let bytes: u64 =
        std::fs::read_dir(audit.dir())?.map(|entry| Ok(entry?.metadata()?.len())).sum::<std::io::Result<u64>>()?;
    println!("{name}: {acts} acts of {PAGES} pages, {} lost", audit.lost_total());
    println!("  handing over   p50 {:.1} us, p99 {:.1} us", at(0.5), at(0.99));
    println!("  writer         {writer:.1} us of processor time a line, {} bytes a line", bytes / acts as u64);
    println!(
        "  together       {:.0} acts a second, a wait for the disk each {ROUND}",
        acts as f64 / wall.as_secs_f64()
    );
    Ok(())
}

/// Processor time of this process, as Linux tells it, in its own and in the kernel's code.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    /// Of `times` in Linux, on every platform there is.
    const TICKS_A_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").ok_or("no fields")?.1;
    let ticks: Vec<u64> = fields.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 1_000 / TICKS_A_SECOND))
}
