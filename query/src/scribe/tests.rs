use super::*;

const PATIENCE: Duration = Duration::from_mins(1);

/// What a log was asked, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Wrote(Vec<u32>, bool),
    Swept,
    Closed,
}

/// A log in memory, which can be held up and can fail.
struct Pad {
    asked: Arc<Mutex<Vec<Asked>>>,
    counts: Arc<Counts>,
    gate: Arc<Mutex<()>>,
    /// How often it was asked to write.
    came: Arc<AtomicU64>,
    fails: bool,
}

impl Log for Pad {
    type Record = u32;

    fn write(&mut self, records: Vec<u32>, is_due: bool, behind: &Behind<'_, u32>) -> bool {
        self.came.fetch_add(1, Ordering::Release);
        drop(self.gate.lock().unwrap());
        if self.fails {
            while !behind.is_closing() {
                std::thread::yield_now();
            }
            self.counts.lost.fetch_add((records.len() + behind.give_up()) as u64, Ordering::Relaxed);
            return false;
        }
        self.counts.written.fetch_add(records.len() as u64, Ordering::Relaxed);
        if !records.is_empty() || is_due {
            self.asked.lock().unwrap().push(Asked::Wrote(records, is_due));
        }
        true
    }

    fn sweep(&mut self) {
        self.asked.lock().unwrap().push(Asked::Swept);
    }

    fn close(&mut self) {
        self.asked.lock().unwrap().push(Asked::Closed);
    }
}

/// A scribe over a pad, and what is known of the pad outside of its thread.
struct Site {
    scribe: Scribe<u32>,
    asked: Arc<Mutex<Vec<Asked>>>,
    counts: Arc<Counts>,
    gate: Arc<Mutex<()>>,
    came: Arc<AtomicU64>,
}

impl Site {
    fn new(queue_len_max: usize, fails: bool) -> Self {
        let (asked, counts) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<Counts>::default());
        let (gate, came) = (Arc::<Mutex<()>>::default(), Arc::<AtomicU64>::default());
        let pad = Pad {
            asked: Arc::clone(&asked),
            counts: Arc::clone(&counts),
            gate: Arc::clone(&gate),
            came: Arc::clone(&came),
            fails,
        };
        let scribe = Scribe::start("pad", queue_len_max, Arc::clone(&counts), pad).unwrap();
        Self { scribe, asked, counts, gate, came }
    }

    /// Hands a record over and waits until the thread stands before the gate with it.
    fn block(&self) {
        let before = self.came.load(Ordering::Acquire);
        assert!(self.scribe.offer(0));
        while self.came.load(Ordering::Acquire) == before {
            std::thread::yield_now();
        }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn records(&self) -> Vec<u32> {
        let records = |asked: Asked| if let Asked::Wrote(records, _) = asked { records } else { Vec::new() };
        self.asked().into_iter().flat_map(records).collect()
    }

    fn counted(&self) -> (u64, u64) {
        (self.counts.written.load(Ordering::Relaxed), self.counts.lost.load(Ordering::Relaxed))
    }
}

#[test]
fn a_log_is_swept_first_and_written_in_order_and_closed_last() {
    let site = Site::new(1_000, false);
    assert!((0..1_000).all(|number| site.scribe.offer(number)));
    assert!(site.scribe.settle(PATIENCE));
    let settled = site.asked();
    assert_eq!(
        (&settled[0], settled.last()),
        (&Asked::Swept, Some(&Asked::Swept)),
        "before it is said that it settled"
    );
    assert!(settled.iter().any(|asked| matches!(asked, Asked::Wrote(_, true))), "and what was written is to last");
    assert!(site.scribe.offer(1_000));
    site.scribe.close();
    assert_eq!(site.records(), (0..=1_000).collect::<Vec<_>>());
    assert_eq!(site.asked().last(), Some(&Asked::Closed));
    let longest =
        site.asked().into_iter().map(|asked| if let Asked::Wrote(all, _) = asked { all.len() } else { 0 }).max();
    assert!(longest.unwrap() <= BATCH_MAX);
    assert_eq!(site.counted(), (1_001, 0));
}

#[test]
fn what_does_not_fit_or_comes_too_late_is_counted_and_nobody_waits() {
    let site = Site::new(2, false);
    let held = site.gate.lock().unwrap();
    site.block();
    let taken = (0..100).filter(|number| site.scribe.offer(*number)).count();
    assert_eq!(taken, 2);
    assert!(!site.scribe.settle(Duration::ZERO), "it is not said to be written");
    drop(held);
    site.scribe.close();
    assert!(!site.scribe.offer(100) && !site.scribe.settle(PATIENCE));
    assert_eq!(site.counted(), (3, 99));
}

#[test]
fn whoever_is_erased_is_looked_for_although_the_queue_is_full() {
    let site = Site::new(1, false);
    assert!(site.scribe.settle(PATIENCE));
    let before = site.asked().iter().filter(|asked| **asked == Asked::Swept).count();
    let held = site.gate.lock().unwrap();
    site.block();
    assert!(site.scribe.offer(1) && !site.scribe.offer(2));
    site.scribe.look_for_erased();
    drop(held);
    site.scribe.close();
    assert!(site.asked().iter().filter(|asked| **asked == Asked::Swept).count() > before);
}

#[test]
fn a_log_that_gives_up_while_it_closes_ends_the_thread() {
    let site = Site::new(10, true);
    assert!((0..10).all(|number| site.scribe.offer(number)));
    site.scribe.close();
    assert_eq!(site.counted(), (0, 10), "and says what it lost");
    assert_eq!(site.asked(), [Asked::Swept], "nothing more is asked of it");
}
