//! The times of queries, of each the shortest.

use std::time::{Duration, Instant};

/// The shortest time of each query.
#[derive(Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, query: usize, started: Instant) {
        let time = started.elapsed();
        if query == self.0.len() {
            self.0.push(time);
        }
        self.0[query] = self.0[query].min(time);
    }

    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e6
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<Duration>().as_secs_f64() * 1e6 / self.0.len() as f64
    }

    pub(crate) fn print(&self, name: &str, beside: Option<&Self>) {
        let (p50, p95, p99, mean) = (self.percentile(50), self.percentile(95), self.percentile(99), self.mean());
        let ratios = beside.map(|other| format!(" {:>11.2} {:>11.2}", p50 / other.percentile(50), mean / other.mean()));
        println!("{name:>20} {p50:>9.0} {p95:>9.0} {p99:>9.0} {mean:>9.0}{}", ratios.unwrap_or_default());
    }
}
