//! The tree of pages that a set of Markdown paths makes, and where a link in one of them leads.
//!
//! A folder is a page: its `index.md`, `_index.md` or `README.md`, else the file of the same name beside it, else an
//! empty page with the folder's name. Files at the top are pages at the root; the top itself is none. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

use schemas::ids::PageId;
use schemas::limits::TREE_DEPTH_MAX;
use schemas::page::PageKind;

/// A Markdown file of a source, as far as the tree needs to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Its path below the source's root, with `/` between the parts.
    pub path: String,
    /// The id that its front matter gives it.
    pub id: Option<PageId>,
    /// The kind that its front matter gives it.
    pub kind: Option<PageKind>,
}

/// A page of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: PageId,
    /// What names it in the tree: the folder's path, or the file's without its extension.
    pub key: String,
    /// The page above; always before it in [`Tree::nodes`].
    pub parent: Option<usize>,
    /// The file it comes from; absent for a folder without one.
    pub file: Option<usize>,
    /// What kind it is; what stands in a database is a row.
    pub kind: PageKind,
}

impl Node {
    /// A title made of its file or folder name.
    pub fn title(&self) -> String {
        title_from_name(strip_extension(name_of(&self.key).trim_end_matches('~')))
    }
}

/// All pages of a source.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    /// Nodes by lower-case key, path, and page id in the form of a key.
    places: HashMap<String, usize>,
    /// First parts of all paths, in which addresses from the root are looked for.
    tops: Vec<String>,
}

/// Most top folders in which an address from the root is looked for.
const TOPS_MAX: usize = 8;

impl Tree {
    /// Builds the tree. `warn` is told of pages whose id is taken and of those too deep to be seen.
    pub fn build(files: &[File], warn: &mut dyn FnMut(&str, String)) -> Self {
        let mut keyed = keys(files);
        keyed.sort_by(|a, b| in_tree_order(&a.0, &b.0));
        let mut tree = Self::default();
        let mut at_key: HashMap<String, usize> = HashMap::with_capacity(keyed.len());
        let mut ids = HashSet::with_capacity(keyed.len());
        for (key, file) in keyed {
            let parent = folder_of(&key).and_then(|folder| at_key.get(folder).copied());
            let said = file.map(|at| &files[at]);
            let kind = said.and_then(|file| file.kind).unwrap_or_else(|| {
                let in_database = parent.is_some_and(|parent| tree.nodes[parent].kind == PageKind::Database);
                if in_database { PageKind::Row } else { PageKind::Page }
            });
            let mut id = said.and_then(|file| file.id.clone()).unwrap_or_else(|| page_id(&key));
            if !ids.insert(id.clone()) {
                let other = unique_page_id(&key);
                warn(&key, format!("the id `{id}` belongs to another page already; this one became `{other}`"));
                id = other;
                ids.insert(id.clone());
            }
            let parts = key.split('/').count();
            if parts > TREE_DEPTH_MAX {
                warn(&key, format!("it is {parts} levels deep; below {TREE_DEPTH_MAX} nobody sees a page"));
            }
            let at = tree.nodes.len();
            tree.places.entry(key.to_lowercase()).or_insert(at);
            at_key.insert(key.clone(), at);
            tree.nodes.push(Node { id, key, parent, file, kind });
        }
        for (at, node) in tree.nodes.iter().enumerate() {
            if let Some(file) = node.file {
                tree.places.entry(files[file].path.to_lowercase()).or_insert(at);
            }
        }
        let tops: BTreeSet<&str> = tree.nodes.iter().filter_map(|node| Some(node.key.split_once('/')?.0)).collect();
        tree.tops = tops.into_iter().take(TOPS_MAX).map(str::to_lowercase).collect();
        tree
    }

    /// Its pages, each after the one it hangs from.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The page at a path: of a folder, or of a file with or without its extension. Letter case does not matter.
    pub fn find(&self, path: &str) -> Option<usize> {
        let path = path.trim_matches('/').to_lowercase();
        if let Some(&at) = self.places.get(&path) {
            return Some(at);
        }
        let stem = strip_extension(&path);
        let folder = stem.rsplit_once('/').filter(|(_, name)| index_rank(name).is_some()).map(|(folder, _)| folder);
        [Some(stem), folder].into_iter().flatten().find_map(|key| self.places.get(key).copied())
    }

    /// Where an address in the file `from` leads; `None` when it leads out of the source or to no page.
    pub fn resolve(&self, from: &str, address: &str) -> Option<usize> {
        let end = address.find(['#', '?']).unwrap_or(address.len());
        let path = &address[..end];
        let has_scheme = path.find(':').is_some_and(|colon| !path[..colon].contains('/'));
        if path.is_empty() || path.starts_with("//") || has_scheme {
            return None;
        }
        let path = percent_decoded(path);
        if let Some(absolute) = path.strip_prefix('/') {
            let absolute = joined("", absolute)?;
            let below = self.tops.iter().map(|top| format!("{top}/{absolute}"));
            return self.find(&absolute).or_else(|| below.into_iter().find_map(|path| self.find(&path)));
        }
        let folder = folder_of(from).unwrap_or("");
        let beside = joined(folder, &path).and_then(|path| self.find(&path));
        // Sites that serve `a/b.md` as `a/b/` have links that start one level deeper.
        beside.or_else(|| self.find(&joined(strip_extension(from), &path)?))
    }
}

/// The id of the page with this key: its name, readable, and 32 bits of hash of the whole key.
pub fn page_id(key: &str) -> PageId {
    id_with_hash(key, 8)
}

/// A page's id when another page has its first choice already.
fn unique_page_id(key: &str) -> PageId {
    id_with_hash(key, 32)
}

fn id_with_hash(key: &str, hash_chars: usize) -> PageId {
    const SLUG_CHARS_MAX: usize = 48;
    let name = key.rsplit('/').next().unwrap_or(key);
    let mut slug = String::new();
    for c in name.chars() {
        if slug.len() >= SLUG_CHARS_MAX {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = match slug.trim_end_matches('-') {
        "" => "page",
        slug => slug,
    };
    let hash = blake3::hash(key.as_bytes()).to_hex();
    PageId::new(format!("{slug}-{}", &hash[..hash_chars])).expect("letters, digits and hyphens are an id")
}

/// Cleans a path: forward slashes, no empty or `.` parts. `None` when it is empty or would leave the root.
pub fn clean_path(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect();
    let bad = parts.is_empty() || parts.iter().any(|part| *part == ".." || part.chars().any(char::is_control));
    (!bad).then(|| parts.join("/"))
}

/// True for a file whose name says Markdown.
pub fn is_markdown(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("md" | "markdown" | "mdx"))
}

/// Gives each file and each folder above one its key. No key is given twice.
fn keys(files: &[File]) -> Vec<(String, Option<usize>)> {
    let mut folders: HashMap<&str, Option<(usize, usize)>> = HashMap::new();
    for (at, file) in files.iter().enumerate() {
        let mut folder = folder_of(&file.path);
        if let Some(folder) = folder {
            let held = folders.entry(folder).or_default();
            if let Some(rank) = index_rank(strip_extension(name_of(&file.path))) {
                let first = held.is_none_or(|(held, other)| (rank, &file.path) < (held, &files[other].path));
                *held = if first { Some((rank, at)) } else { *held };
            }
        }
        while let Some(path) = folder {
            folders.entry(path).or_default();
            folder = folder_of(path);
        }
    }
    let index_of: HashSet<usize> = folders.values().flatten().map(|(_, at)| *at).collect();
    let mut keyed: HashMap<String, Option<usize>> =
        folders.iter().map(|(path, index)| ((*path).to_owned(), index.map(|(_, at)| at))).collect();
    // By path, so that the order in which a source lists its files decides nothing.
    let mut others: Vec<usize> = (0..files.len()).filter(|at| !index_of.contains(at)).collect();
    others.sort_by(|&a, &b| files[a].path.cmp(&files[b].path));
    for at in others {
        let file = &files[at];
        let stem = strip_extension(&file.path);
        match keyed.get_mut(stem) {
            // The file of the folder's name beside a folder without an index.
            Some(held @ None) => *held = Some(at),
            Some(Some(_)) => {
                let mut key = file.path.clone();
                while keyed.contains_key(&key) {
                    key.push('~');
                }
                keyed.insert(key, Some(at));
            }
            None => {
                keyed.insert(stem.to_owned(), Some(at));
            }
        }
    }
    keyed.into_iter().collect()
}

fn in_tree_order(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

fn folder_of(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn strip_extension(path: &str) -> &str {
    let known = ["md", "markdown", "mdx", "html", "htm"];
    match path.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty()
                && !stem.ends_with('/')
                && known.iter().any(|known| extension.eq_ignore_ascii_case(known)) =>
        {
            stem
        }
        _ => path,
    }
}

/// Which of the files of a folder is its page: the lowest.
fn index_rank(stem: &str) -> Option<usize> {
    ["index", "_index", "readme"].iter().position(|name| stem.eq_ignore_ascii_case(name))
}

/// Follows a relative path; `None` when it leaves the root.
fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Decodes `%20` and the like; what is no valid escape or no UTF-8 stays as it is.
fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// `field-marketing` becomes `Field marketing`; names with capitals or spaces stay as their author wrote them.
fn title_from_name(name: &str) -> String {
    if name.chars().any(|c| c.is_uppercase() || c.is_whitespace()) {
        return name.to_owned();
    }
    let spaced = name.replace(['-', '_'], " ");
    let mut chars = spaced.trim().chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str) -> File {
        File { path: path.to_owned(), id: None, kind: None }
    }

    fn tree(paths: &[&str]) -> (Tree, Vec<File>) {
        let files: Vec<File> = paths.iter().map(|path| file(path)).collect();
        (Tree::build(&files, &mut |_, _| {}), files)
    }

    #[track_caller]
    fn check(paths: &[&str], expected: &[&str]) {
        let (tree, files) = tree(paths);
        let lines: Vec<String> = tree
            .nodes()
            .iter()
            .map(|node| {
                let depth = std::iter::successors(node.parent, |&at| tree.nodes()[at].parent).count();
                let file = node.file.map_or("-", |at| &files[at].path);
                format!("{}{} {file}", "  ".repeat(depth), node.title())
            })
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn folders_are_pages() {
        check(&["index.md", "a/b/c.md", "a/index.md"], &["A a/index.md", "  B -", "    C a/b/c.md", "Index index.md"]);
        check(&["a/README.md", "a/_index.md", "a/x.md"], &["A a/_index.md", "  README a/README.md", "  X a/x.md"]);
        check(&["my-team.md", "my-team/x.md"], &["My team my-team.md", "  X my-team/x.md"]);
        check(&["a.md", "a/index.md", "a.md/x.md"], &["A a/index.md", "A -", "  X a.md/x.md", "A a.md"]);
        check(
            &["a/b c.md", "a/b.md", "a/b/d.md", "a-b.md"],
            &["A -", "  B a/b.md", "    D a/b/d.md", "  b c a/b c.md", "A b a-b.md"],
        );
    }

    #[test]
    fn ids_are_readable_stable_and_taken_once() {
        assert_eq!(page_id("dept/Field Marketing").as_str().rsplit_once('-').unwrap().0, "field-marketing");
        assert!(page_id("手引き/日本語").as_str().starts_with("page-"));
        assert_ne!(page_id("a/x"), page_id("b/x"));
        let mut files = vec![file("a.md"), file("b.md")];
        files[0].id = Some(PageId::new("same").unwrap());
        files[1].id = Some(PageId::new("same").unwrap());
        let mut warnings = 0;
        let tree = Tree::build(&files, &mut |_, _| warnings += 1);
        assert_ne!(tree.nodes()[0].id, tree.nodes()[1].id);
        assert_eq!(warnings, 1);
    }

    #[test]
    fn what_stands_in_a_database_is_a_row() {
        let mut files = vec![file("db/index.md"), file("db/one.md"), file("db/one/deep.md")];
        files[0].kind = Some(PageKind::Database);
        let tree = Tree::build(&files, &mut |_, _| {});
        let kinds: Vec<_> = tree.nodes().iter().map(|node| node.kind).collect();
        assert_eq!(kinds, [PageKind::Database, PageKind::Row, PageKind::Page]);
    }

    #[test]
    fn links_lead_to_pages() {
        let (tree, _) = tree(&["content/a/index.md", "content/a/b.md", "content/c d.md", "content/e.md", "top.md"]);
        let leads = |from: &str, address: &str| tree.resolve(from, address).map(|at| tree.nodes()[at].key.clone());
        for (from, address, key) in [
            ("content/a/b.md", "index.md", Some("content/a")),
            ("content/a/b.md", "./", Some("content/a")),
            ("content/a/b.md", "../c%20d.md#part", Some("content/c d")),
            ("content/a/index.md", "b", Some("content/a/b")),
            ("content/a/index.md", "B.html?x=1", Some("content/a/b")),
            ("content/a/b.md", "/content/e.md", Some("content/e")),
            ("content/a/b.md", "/e/", Some("content/e")),
            ("content/e.md", "../a/", Some("content/a")),
            ("top.md", "content/a/README.md", Some("content/a")),
            ("top.md", "../../../etc/passwd", None),
            ("top.md", "https://example.org/content/e", None),
            ("top.md", "mailto:a@b", None),
            ("top.md", "//host/content/e", None),
            ("top.md", "#part", None),
            ("top.md", "missing.md", None),
        ] {
            assert_eq!(leads(from, address).as_deref(), key, "{from} {address}");
        }
    }

    #[test]
    fn paths_are_cleaned() {
        assert_eq!(clean_path("/a//b/./c.md").as_deref(), Some("a/b/c.md"));
        assert_eq!(clean_path("a\\b.md").as_deref(), Some("a/b.md"));
        for bad in ["", "/", "../a", "a/../../b", "a\0b"] {
            assert_eq!(clean_path(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_file_is_one_page_below_its_parent(paths in prop::collection::hash_set("([ab]/){0,3}(index|README|a|b|c)\\.(md|markdown)", 0..20)) {
            let files: Vec<File> = paths.iter().map(|path| file(path)).collect();
            let tree = Tree::build(&files, &mut |_, _| {});
            let mut placed: Vec<usize> = tree.nodes().iter().filter_map(|node| node.file).collect();
            placed.sort_unstable();
            prop_assert_eq!(placed, (0..files.len()).collect::<Vec<_>>());
            for (at, node) in tree.nodes().iter().enumerate() {
                prop_assert!(node.parent.is_none_or(|parent| parent < at));
                prop_assert_eq!(node.parent.is_none(), !node.key.contains('/'));
            }
            let ids: HashSet<_> = tree.nodes().iter().map(|node| &node.id).collect();
            prop_assert_eq!(ids.len(), tree.nodes().len());
        }

        #[test]
        fn any_address_is_answered_without_panic(from in ".{0,20}", address in ".{0,30}") {
            let (tree, _) = tree(&["a/b.md"]);
            tree.resolve(&from, &address);
        }
    }
}
