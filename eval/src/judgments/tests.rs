use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::dataset::{Corpus, Dataset};

fn name(text: &str) -> Pseudonym {
    serde_json::from_value(text.into()).unwrap()
}

fn page(id: &str) -> PageId {
    PageId::new(id).unwrap()
}

/// A list of pages p1, p2, ... for somebody, and what was done: `c` clicked, `s` clicked and left soon, `h` helpful,
/// `n` not helpful.
fn list(person: &str, acts: &str) -> List {
    let mut list = List { person: Some(name(person)), query: Some(name("q")), ..List::default() };
    for (rank, act) in (1..).zip(acts.chars()) {
        let id = page(&format!("p{rank}"));
        list.pages.insert(rank, id.clone());
        let acts = match act {
            'c' => Acts { clicked: true, ..Acts::default() },
            's' => Acts { clicked: true, left_soon: true, ..Acts::default() },
            'h' => Acts { clicked: true, helped: Some(true), ..Acts::default() },
            'n' => Acts { clicked: true, helped: Some(false), ..Acts::default() },
            _ => continue,
        };
        list.done.insert(id, acts);
    }
    list
}

fn id(number: u64) -> ListId {
    serde_json::from_value(format!("{number:032x}").into()).unwrap()
}

fn grades(lists: Vec<List>, least: Least) -> BTreeMap<String, i32> {
    let lists = (0..).map(id).zip(lists).collect();
    let clicked = judged(&lists, least).unwrap();
    clicked.qrels.of("q").cloned().unwrap_or_default()
}

#[test]
fn pairs_worked_out_by_hand() {
    let check = |acts: &str, expected: &[(u32, u32, u32)]| {
        let mut pairs = BTreeMap::new();
        assert_eq!(list("ada", acts).tell(&mut pairs), !expected.is_empty());
        let told: Vec<_> = pairs.values().map(|pair| (pair.looks, pair.clicks, pair.satisfied)).collect();
        assert_eq!(told, expected, "{acts}");
    };
    check("....", &[]);
    check("c...", &[(1, 1, 1)]);
    check(".c..", &[(1, 0, 0), (1, 1, 1)]);
    check("c.c.", &[(1, 1, 0), (1, 0, 0), (1, 1, 1)]);
    check(".s..", &[(1, 0, 0), (1, 1, 0)]);
    check("h.n.", &[(1, 1, 1), (1, 0, 0), (1, 1, 0)]);
}

#[test]
fn relevance_becomes_a_grade_at_its_borders() {
    let check = |looks, clicks, satisfied, relevance: f64, grade| {
        let pair = Pair { looks, clicks, satisfied, people: BTreeSet::new() };
        assert!((pair.relevance() - relevance).abs() < 1e-9, "{pair:?}: {}", pair.relevance());
        assert_eq!(pair.grade(), grade, "{pair:?}");
    };
    check(9, 9, 9, 0.95 * 0.95, 3);
    check(9, 4, 4, 0.45 * 0.9, 2);
    check(9, 4, 0, 0.45 * 0.1, 0);
    check(9, 2, 2, 0.25 * 2.5 / 3.0, 1);
    check(9, 0, 0, 0.0, 0);
}

#[test]
fn too_few_lists_or_people_judge_nothing() {
    let lists = |people: &[&str]| people.iter().map(|person| list(person, "c")).collect::<Vec<_>>();
    let least = Least { lists: 3, people: 2 };
    assert!(grades(lists(&["ada", "bob"]), least).is_empty());
    assert!(grades(lists(&["ada", "ada", "ada"]), least).is_empty());
    assert_eq!(grades(lists(&["ada", "ada", "bob"]), least), BTreeMap::from([("p1".to_owned(), 3)]));
    let mut narrowed = lists(&["ada", "ada", "bob"]);
    narrowed[0].is_narrowed = true;
    assert!(grades(narrowed, least).is_empty());
}

/// People who read from the top: a page is clicked as often as it attracts, and ends the search as often as it satisfies.
fn simulated(order: &[usize], worth: &[(f64, f64)], lists: usize, random: &mut SmallRng) -> Vec<String> {
    let one = |random: &mut SmallRng| -> String {
        let mut acts = vec!['.'; worth.len()];
        for &at in order {
            let (attracts, satisfies) = worth[at];
            if random.random_bool(attracts) {
                acts[at] = 'c';
                if random.random_bool(satisfies) {
                    break;
                }
            }
        }
        acts.into_iter().collect()
    };
    (0..lists).map(|_| one(random)).collect()
}

#[test]
fn where_a_page_stood_does_not_decide_its_grade() {
    // The best page stands last, the second best first, and the others attract nobody much.
    let worth = [(0.5, 0.5), (0.1, 0.3), (0.1, 0.3), (0.1, 0.3), (0.9, 0.9)];
    let mut random = SmallRng::seed_from_u64(3);
    let order = [0, 1, 2, 3, 4];
    let acts = simulated(&order, &worth, 2_000, &mut random);
    let raw = |at: usize| acts.iter().filter(|acts| acts.as_bytes()[at] == b'c').count();
    let lists = acts.iter().enumerate().map(|(at, acts)| list(&format!("person{}", at % 50), acts)).collect();
    let grades = grades(lists, Least::default());
    assert!(grades["p5"] == 3 && grades["p1"] == 2, "{grades:?}");
    assert!(["p2", "p3", "p4"].iter().all(|page| grades[*page] == 0), "{grades:?}");
    assert!(raw(4) < 2_000 * 8 / 10, "clicks alone show less than its worth: {}", raw(4));
}

#[test]
fn what_is_written_is_read_as_a_collection_over_a_workspace() {
    let mut lists: BTreeMap<ListId, List> = (0..).map(id).zip((0..6).map(|at| list(&format!("p{at}"), ".c"))).collect();
    for list in lists.values_mut() {
        list.text = Some("blue green".to_owned());
    }
    let clicked = judged(&lists, Least::default()).unwrap();
    assert_eq!((clicked.counts.judged, clicked.counts.queries_with_text), (2, 1));
    let dir = tempfile::tempdir().unwrap();
    clicked.write(dir.path()).unwrap();
    let [dataset] = &Dataset::find(dir.path()).unwrap()[..] else { panic!("one collection was written") };
    assert_eq!(dataset.corpus, Corpus::Elsewhere);
    assert_eq!(dataset.split(SPLIT).unwrap(), &clicked.qrels);
    assert_eq!(dataset.queries["q"].text, "blue green");
    let trec = Qrels::read_trec(&dir.path().join("clicks.qrels")).unwrap();
    assert_eq!(trec, clicked.qrels);
}
