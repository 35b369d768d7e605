//! A revocation holds for every request that starts after it was acknowledged, however many searches are running.
//!
//! One thread takes a page away in turn by each means there is, and gives it back. Others search all the time. What they
//! claim is bounded by counts, not by time: each phase goes on until every searcher has been through it some times.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use eval::leak::request::{Request, ask};
use indexer::engine::Wait;
use schemas::api::search::Mode;
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::grant::Role;
use schemas::ids::{BlockId, GroupId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::version::{Timestamp, VectorClock, Version};

use crate::site::{Site, caller, runtime};

const SEARCHERS: usize = 3;
const ROUNDS: u64 = 8;
/// Requests of each searcher that must begin and end while a page is taken away.
const REQUESTS_A_PHASE: u64 = 6;
const MARK: &str = "lanternfish";
const WAYS: [&str; 6] = ["access", "member", "group", "move", "trash", "delete"];

/// Even: given or being given. Odd: taken away, since before the number was stored.
#[derive(Default)]
struct Phases {
    number: AtomicU64,
    /// For each searcher, requests that were wholly within the phase of this number.
    done: [AtomicU64; SEARCHERS],
    /// Requests that found the page while it was given.
    found: AtomicU64,
    /// Set when the writer is done, or a thread failed: the others would wait for it for ever.
    is_over: AtomicBool,
}

/// Ends the other threads when dropped.
struct Over<'a>(&'a Phases);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

#[test]
fn no_response_that_started_after_the_acknowledgement_holds_the_page() {
    let site = Site::new();
    let phases = Phases::default();
    let mut writer = Writer::default();
    submit(&site, &writer.start(), Wait::Searchable);
    site.settle();
    std::thread::scope(|scope| {
        let _over = Over(&phases);
        for searcher in 0..SEARCHERS {
            let (site, phases) = (&site, &phases);
            scope.spawn(move || search(site, phases, searcher));
        }
        for round in 0..ROUNDS {
            for way in WAYS {
                let page = format!("page-{round}-{way}");
                submit(&site, &writer.give(&page, way), Wait::Searchable);
                enough_requests(&phases);
                submit(&site, &[writer.take_away(&page, way)], Wait::Applied);
                phases.number.fetch_add(1, Ordering::SeqCst);
                enough_requests(&phases);
                phases.number.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let (found, done) = (phases.found.load(Ordering::SeqCst), phases.done.iter().map(|n| n.load(Ordering::SeqCst)));
    println!("race: {} revocations, {} requests within a phase, {found} that found", ROUNDS * 6, done.sum::<u64>());
    assert!(found > 0, "nobody ever saw what was given");
}

fn submit(site: &Site, events: &[Event], wait: Wait) {
    let submitted = site.indexer.submit(events, wait).unwrap();
    assert!(submitted.rejected.is_empty(), "{:?}", submitted.rejected);
}

/// Waits until every searcher has had its requests in the phase at hand.
fn enough_requests(phases: &Phases) {
    let before: Vec<u64> = phases.done.iter().map(|done| done.load(Ordering::SeqCst)).collect();
    for (done, before) in phases.done.iter().zip(before) {
        while done.load(Ordering::SeqCst) < before + REQUESTS_A_PHASE {
            assert!(!phases.is_over.load(Ordering::SeqCst), "a searcher failed");
            std::thread::yield_now();
        }
    }
}

fn search(site: &Site, phases: &Phases, searcher: usize) {
    let _over = Over(phases);
    let runtime = runtime();
    let caller = caller(&workspace(), Some(&user()));
    let words = || vec![MARK.to_owned()];
    for at in searcher.. {
        if phases.is_over.load(Ordering::SeqCst) {
            break;
        }
        let before = phases.number.load(Ordering::SeqCst);
        let engine = if at % 2 == 0 { &site.exact } else { &site.parroting };
        let request = match at % 7 {
            0 => Request::Words { words: words(), prefix: false, mode: Mode::Hybrid },
            1 => Request::Words { words: words(), prefix: false, mode: Mode::Lexical },
            2 => Request::Words { words: words(), prefix: true, mode: Mode::Semantic },
            3 => Request::Suggest(MARK[..5].to_owned()),
            4 => Request::Answer { question: MARK.to_owned(), stream: true },
            5 => Request::Answer { question: MARK.to_owned(), stream: false },
            _ => Request::List { tag: None, trash: false },
        };
        let told = runtime.block_on(ask(engine, &caller, &request)).unwrap();
        let after = phases.number.load(Ordering::SeqCst);
        let holds = told.json.contains(MARK);
        if before % 2 == 1 && before == after {
            assert!(!holds, "phase {before}: {request:?}: {}", told.json);
        }
        phases.found.fetch_add(u64::from(holds), Ordering::SeqCst);
        phases.done[searcher].fetch_add(u64::from(before == after), Ordering::SeqCst);
    }
}

fn workspace() -> WorkspaceId {
    WorkspaceId::new("acme").unwrap()
}

fn user() -> UserId {
    UserId::new("ada").unwrap()
}

fn group() -> GroupId {
    GroupId::new("team").unwrap()
}

fn page_id(page: &str) -> PageId {
    PageId::new(page).unwrap()
}

/// Writes events, each newer than all before it.
#[derive(Default)]
struct Writer {
    written: u32,
    /// The page given last.
    former: Option<String>,
}

impl Writer {
    fn write(&mut self, change: Change) -> Event {
        self.written += 1;
        let region = RegionId::new("eu").unwrap();
        Event {
            id: self.written.to_string(),
            source: "/race".to_owned(),
            workspace: workspace(),
            time: None,
            version: Version {
                clock: VectorClock::of(&region, u64::from(self.written)),
                timestamp: Timestamp { wall_ms: 1, logical: self.written },
                region,
            },
            change,
        }
    }

    fn page(&mut self, page: &str, title: &str, parent: Option<&str>) -> Event {
        let parent = parent.map_or(Parent::Workspace, |parent| Parent::Page { id: page_id(parent) });
        let patch = PagePatch { title: Some(title.to_owned()), parent: Some(parent), ..PagePatch::default() };
        self.write(Change::PageUpserted { page: page_id(page), patch: Box::new(patch) })
    }

    fn access(&mut self, page: &str, grants: &[&str]) -> Event {
        let grants = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        self.write(Change::PageAccessChanged { page: page_id(page), grants, restricted: false })
    }

    fn member(&mut self, role: Role) -> Event {
        self.write(Change::MemberChanged { user: user(), role })
    }

    fn team(&mut self, members: &[&str]) -> Event {
        let members = Some(members.iter().map(|member| member.parse().unwrap()).collect());
        self.write(Change::GroupChanged { group: group(), members })
    }

    /// A page that everybody reads, and one that nobody does.
    fn start(&mut self) -> Vec<Event> {
        vec![
            self.member(Role::Member),
            self.team(&["user:ada"]),
            self.page("open", "Open", None),
            self.access("open", &["workspace:view"]),
            self.page("hidden", "Hidden", None),
        ]
    }

    /// A page that is readable in the way that is going to be taken away.
    fn give(&mut self, page: &str, way: &str) -> Vec<Event> {
        let parent = Some("open").filter(|_| way == "move");
        let grant = match way {
            "group" => "group:team:view",
            "member" | "trash" | "delete" => "workspace:view",
            _ => "user:ada:view",
        };
        let content = Some(BlockContent::text(BlockType::Paragraph, format!("about {MARK} and more")));
        let patch = BlockPatch { page: page_id(page), parent: None, position: "1".to_owned(), content };
        let block = BlockId::new(format!("{page}-block")).unwrap();
        // The former page would come back with the membership that it was taken away by.
        let former = self.former.replace(page.to_owned());
        let mut events: Vec<Event> =
            former.iter().map(|former| self.write(Change::PageDeleted { page: page_id(former) })).collect();
        events.extend([
            self.member(Role::Member),
            self.team(&["user:ada"]),
            self.page(page, &format!("The {MARK}"), parent),
            self.write(Change::BlockUpserted { block, patch }),
        ]);
        if way != "move" {
            events.push(self.access(page, &[grant]));
        }
        events
    }

    fn take_away(&mut self, page: &str, way: &str) -> Event {
        match way {
            "access" => self.access(page, &[]),
            "member" => self.member(Role::Removed),
            "group" => self.team(&["user:bob"]),
            "move" => self.page(page, &format!("The {MARK}"), Some("hidden")),
            "trash" => self.write(Change::PageTrashed { page: page_id(page) }),
            _ => self.write(Change::PageDeleted { page: page_id(page) }),
        }
    }
}
