//! Builds the indexes that are measured: the same passages in one workspace, and over many.
//!
//! Pages go straight to the writer of the index, with synthetic vectors, as the write side would hand them over.
//!
//! The one workspace has a tree: `library` is open to a group of 10,000 and holds `shelf`, which holds all copies of the corpus
//! but the last, each below a page of its own. One page in fifty is shared with a person beside, so that there are thousands
//! of scopes. Each of many workspaces holds some pages side by side, open to its one member.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use index::passages::PassageWrite;
use index::records::PageHead;
use index::vectors::{ModelTag, StoredVector};
use index::{CommitPayload, Index, OpenMode, Passage, Writer};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::grant::{Grant, Principal, Role};
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::page::Parent;
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::{Deserialize, Serialize};

use crate::corpus::{self, Page};
use crate::{DIMENSIONS, Plan, SEED, process};

/// Passages from one commit to the next.
const COMMIT_PASSAGES: u64 = 50_000;
/// How long nothing must have changed on disk for merges to be over.
const SETTLED: Duration = Duration::from_secs(20);
/// Longest wait for merges.
const SETTLE_MAX: Duration = Duration::from_mins(20);
/// People in the group that sees everything.
pub(crate) const EVERYONE: usize = 10_000;
/// Of so many pages one is shared with someone.
const SHARED_ONE_IN: u32 = 50;

/// What is in an index.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Built {
    pub(crate) pages: u64,
    pub(crate) passages: u64,
    pub(crate) text_bytes: u64,
    /// Time that writing took, reading and cutting the corpus included.
    pub(crate) seconds: f64,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    Many,
}

impl Shape {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Many => "many",
        }
    }
}

/// Builds an index, unless it is there.
pub(crate) fn ensure_built(plan: &Plan, shape: Shape) -> Result<Built> {
    let done = plan.dir_of(shape).join("built.json");
    if let Ok(built) = fs::read(&done) {
        return Ok(serde_json::from_slice(&built)?);
    }
    let dir = plan.dir_of(shape);
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let mut builder = Builder::new(plan, shape)?;
    let started = Instant::now();
    corpus::read(&plan.corpus_file(), plan.pages, &mut |page| builder.add(page))?;
    builder.commit()?;
    builder.built.seconds = started.elapsed().as_secs_f64();
    settle(&plan.index_dir(shape))?;
    fs::write(done, serde_json::to_vec(&builder.built)?)?;
    Ok(builder.built)
}

/// Waits until merges have come to rest.
fn settle(dir: &Path) -> Result<()> {
    let started = Instant::now();
    let (mut bytes, mut since) = (0, Instant::now());
    while since.elapsed() < SETTLED && started.elapsed() < SETTLE_MAX {
        std::thread::sleep(Duration::from_secs(1));
        let now = process::bytes_in(dir)?;
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
    }
    Ok(())
}

struct Builder {
    shape: Shape,
    copies: usize,
    workspaces: usize,
    index: Index,
    writer: Writer,
    model_id: String,
    tag: ModelTag,
    rng: SmallRng,
    built: Built,
    committed_passages: u64,
    seq: u64,
}

impl Builder {
    fn new(plan: &Plan, shape: Shape) -> Result<Self> {
        let index = Index::open(&plan.index_config(shape), OpenMode::ReadWrite)?;
        let writer = index.writer()?;
        let tag = ModelTag::of(&plan.model_id);
        let mut builder = Self {
            shape,
            copies: plan.copies,
            workspaces: plan.workspaces,
            index,
            writer,
            model_id: plan.model_id.clone(),
            tag,
            rng: SmallRng::seed_from_u64(SEED),
            built: Built::default(),
            committed_passages: 0,
            seq: 0,
        };
        match shape {
            Shape::One => builder.found_one()?,
            Shape::Many => {
                for number in 0..plan.workspaces {
                    builder.add_member(&workspace_of(shape, number)?, &reader()?)?;
                }
            }
        }
        Ok(builder)
    }

    /// The people of the one workspace, and the pages above the copies.
    fn found_one(&mut self) -> Result<()> {
        let workspace = workspace_of(Shape::One, 0)?;
        for person in everyone()? {
            self.add_member(&workspace, &person)?;
        }
        let mut record = GroupRecord::default();
        let members: Vec<Principal> = everyone()?.into_iter().map(Principal::User).collect();
        record.members.write(&corpus::version(), Some(members.clone()));
        let known = self.index.catalog().get_or_create(&workspace);
        known.write().put_group(&everyone_group()?, Some(&members));
        self.writer.put_group(known.number, &everyone_group()?, &record)?;
        let open = vec!["group:everyone:view".parse()?];
        self.put(&workspace, &container("library", Parent::Workspace, open, false)?)?;
        let library = Parent::Page { id: PageId::new("library")? };
        self.put(&workspace, &container("shelf", library.clone(), Vec::new(), false)?)?;
        // Where the shelf is moved to: nobody of these people can see what is in it.
        self.put(&workspace, &container("vault", Parent::Workspace, vec!["group:board:view".parse()?], true)?)?;
        for copy in 0..self.copies {
            let is_last = copy + 1 == self.copies;
            let parent = if is_last { library.clone() } else { Parent::Page { id: PageId::new("shelf")? } };
            self.put(&workspace, &container(&format!("copy-{copy}"), parent, Vec::new(), false)?)?;
        }
        Ok(())
    }

    /// Adds all copies of a page.
    fn add(&mut self, page: &Page) -> Result<()> {
        let at = self.built.pages as usize / self.copies;
        for copy in 0..self.copies {
            let mut copied = page.copy(copy)?;
            let workspace = match self.shape {
                Shape::One => {
                    let above = page.parent(copy)?.map_or_else(|| PageId::new(format!("copy-{copy}")), Ok)?;
                    let grants = if self.rng.random_ratio(1, SHARED_ONE_IN) {
                        vec![format!("user:person-{}:edit", self.rng.random_range(0..EVERYONE)).parse()?]
                    } else {
                        Vec::new()
                    };
                    hang(&mut copied.record, Parent::Page { id: above }, grants, false);
                    workspace_of(Shape::One, 0)?
                }
                Shape::Many => {
                    hang(&mut copied.record, Parent::Workspace, vec!["workspace:view".parse()?], false);
                    // A share of the workspaces for each copy, neighbours together.
                    let share = self.workspaces / self.copies;
                    workspace_of(Shape::Many, copy * share + at / PAGES_TOGETHER % share.max(1))?
                }
            };
            self.put(&workspace, &copied)?;
        }
        if self.built.passages - self.committed_passages >= COMMIT_PASSAGES {
            self.commit()?;
        }
        Ok(())
    }

    fn add_member(&mut self, workspace: &WorkspaceId, user: &UserId) -> Result<()> {
        let known = self.index.catalog().get_or_create(workspace);
        known.write().put_member(user, Some(Role::Member), false);
        let mut record = MemberRecord::default();
        record.role.write(&corpus::version(), Role::Member);
        Ok(self.writer.put_member(known.number, user, &record)?)
    }

    fn put(&mut self, workspace: &WorkspaceId, page: &Page) -> Result<()> {
        let known = self.index.catalog().get_or_create(workspace);
        let head = {
            let mut state = known.write();
            let head = PageHead::of(&page.id, state.ordinal_for(&page.id), &page.record);
            state.put_head(head.clone());
            head
        };
        let writes = page.passages.iter().map(|passage| self.write(passage)).collect::<Result<Vec<_>>>()?;
        self.writer.put_page(known.number, &head, &page.record, &writes)?;
        self.built.pages += 1;
        self.built.passages += writes.len() as u64;
        self.built.text_bytes += page.passages.iter().map(|passage| passage.text.len() as u64).sum::<u64>();
        Ok(())
    }

    /// A passage with a vector in some direction.
    fn write(&mut self, passage: &Passage) -> Result<PassageWrite> {
        let values: Vec<f32> = (0..DIMENSIONS).map(|_| self.rng.random_range(-1.0..1.0)).collect();
        let vector = passage.has_text().then(|| StoredVector::encode(&values, self.tag)).transpose()?;
        Ok(PassageWrite { passage: passage.clone(), vector })
    }

    fn commit(&mut self) -> Result<()> {
        self.seq += 1;
        self.committed_passages = self.built.passages;
        let model_id = Some(self.model_id.clone());
        self.writer.commit(&CommitPayload { index_seq: self.seq, model_id, ..CommitPayload::default() })?;
        eprintln!("{}: {} passages, load {}", self.shape.name(), self.built.passages, process::load());
        Ok(())
    }
}

/// Neighbouring pages of a copy that go into one workspace before the next one gets its turn.
const PAGES_TOGETHER: usize = 5;

/// A page that holds others.
fn container(id: &str, parent: Parent, grants: Vec<Grant>, restricted: bool) -> Result<Page> {
    let mut record = PageRecord::default();
    record.live.write(&corpus::version(), true);
    record.title.write(&corpus::version(), id.to_owned());
    hang(&mut record, parent, grants, restricted);
    Ok(Page { id: PageId::new(id)?, record, passages: Vec::new() })
}

fn hang(record: &mut PageRecord, parent: Parent, grants: Vec<Grant>, restricted: bool) {
    let version = corpus::version();
    record.parent.write(&version, parent);
    record.grants.write(&version, grants);
    record.restricted.write(&version, restricted);
}

/// The workspace with a number.
pub(crate) fn workspace_of(shape: Shape, number: usize) -> Result<WorkspaceId> {
    Ok(WorkspaceId::new(format!("{}-{number}", shape.name()))?)
}

/// Who asks.
pub(crate) fn reader() -> Result<UserId> {
    Ok(UserId::new("person-0")?)
}

/// The group that sees everything.
pub(crate) fn everyone_group() -> Result<GroupId> {
    Ok(GroupId::new("everyone")?)
}

/// Who is in it.
pub(crate) fn everyone() -> Result<Vec<UserId>> {
    let ids = (0..EVERYONE).map(|number| UserId::new(format!("person-{number}")));
    ids.collect::<Result<_, _>>().context("letters and digits are an id")
}

/// Where all indexes lie, unless another folder is named.
pub(crate) fn default_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/scale")
}
