//! Conversations as their owner may see them now, and questions that follow on one.
//!
//! A turn is told only while its reader may find every page that its words may come from, and only as long as the blocks that were read, the
//! headings above them that a language model was told included, still stand on those pages: else it is withdrawn, text and sources. What follows on a conversation is given the words of such turns alone, and
//! access to their pages is followed until the last word of the new answer, which rests on them from then on. Only its owner finds a
//! conversation: those of others and those that never were are not found alike.

use std::collections::{BTreeSet, HashMap};

use access::{Caller, PageOrdinal, Purpose};
use schemas::api::answers::{AnswerRequest, TURN_CHARS_MAX, TURNS_MAX, Turn as Message, TurnRole};
use schemas::api::conversations::{
    CONVERSATION_ID_CHARS, CONVERSATIONS_LIMIT_MAX, Conversation, ConversationList, ConversationObject,
    ConversationSummary, ConversationTurn, KeptBlock, KeptSource,
};
use schemas::api::{Consistency, ListObject};
use schemas::ids::{BlockId, PageId};
use schemas::version::Version;

use super::{Engine, View};
use crate::answer::answering::{Answering, Sampling};
use crate::answer::following::Following;
use crate::answer::markup::{Out, PageLink, Scanner};
use crate::conversations::turn::{Places, Said, Source, Turn};
use crate::conversations::{self, Conversations};
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::gate::Gate;
use crate::random_id::RandomId;

/// What names a conversation that is yet to begin.
const NEW: &str = "new";
/// Digits of a time in a cursor.
const TIME_DIGITS: usize = 16;

/// The blocks of a page that stand there now.
type Standing = HashMap<BlockId, Version>;

/// What was read of pages, to be looked at under the newest access.
struct Looked<'a> {
    gate: &'a Gate<'a>,
    pages: HashMap<PageId, Standing>,
}

impl Engine {
    /// As [`Engine::ask`], where a question that names a conversation follows on it, and is kept in it with its answer.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] where the caller has no such conversation; [`QueryError::InvalidRequest`] where none are kept.
    pub async fn ask_in(
        &self,
        conversations: Option<&Conversations>,
        caller: &Caller,
        mut request: AnswerRequest,
        request_id: String,
    ) -> Result<Answering, QueryError> {
        let Some(named) = request.conversation.clone() else { return self.ask(caller, request, request_id).await };
        let refused = |field, reason: &str| Err(QueryError::InvalidRequest { field, reason: reason.to_owned() });
        let Some(conversations) = conversations else {
            return refused("conversation", "cannot be given: this server keeps none");
        };
        if !request.messages.is_empty() {
            return refused("messages", "must not be given beside `conversation`");
        }
        let begins = named == NEW;
        let id = match RandomId::parse(&named) {
            Some(id) => id,
            None if begins => RandomId::random().map_err(QueryError::disk("name a conversation"))?,
            None if named.len() == CONVERSATION_ID_CHARS => return Err(QueryError::NotFound),
            None => return refused("conversation", "must be `new` or the id of a conversation"),
        };
        let mut following =
            Following { conversations: conversations.clone(), id, begins, also: Places::new(), pages: Vec::new() };
        if !begins {
            let deadline = Deadline::after(self.config().timeout(request.timeout_ms));
            let history;
            (history, following.also, following.pages) = self.history(conversations, caller, id, deadline).await?;
            request.messages = history;
        }
        self.ask_following(caller, request, Sampling::default(), request_id, Some(following)).await
    }

    /// Lists the conversations of a caller, at most `limit` from where the cursor says.
    ///
    /// Cancel safety: safe.
    pub async fn conversations(
        &self,
        conversations: Option<&Conversations>,
        caller: &Caller,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<ConversationList, QueryError> {
        if !(1..=CONVERSATIONS_LIMIT_MAX).contains(&limit) {
            let reason = format!("must be from 1 to {CONVERSATIONS_LIMIT_MAX}, it is {limit}");
            return Err(QueryError::InvalidRequest { field: "limit", reason });
        }
        let after = cursor.map(|text| read_cursor(text).ok_or(QueryError::InvalidCursor)).transpose()?;
        let mut results = match conversations.cloned() {
            None => Vec::new(),
            Some(conversations) => {
                let caller = caller.clone();
                let work = move || conversations.list(&caller).map_err(QueryError::disk("list conversations"));
                self.0.pools.words.run(Deadline::after(self.config().timeout(None)), work).await?
            }
        };
        if let Some(after) = after {
            results.retain(|summary| place_of(summary) < after);
        }
        let has_more = results.len() > limit as usize;
        results.truncate(limit as usize);
        let next_cursor = results.last().filter(|_| has_more).map(write_cursor);
        Ok(ConversationList { object: ListObject::List, results, next_cursor, has_more, request_id: String::new() })
    }

    /// Opens a conversation of a caller, each turn as far as the caller may see it now.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] where the caller has no such conversation.
    ///
    /// Cancel safety: safe.
    pub async fn conversation(
        &self,
        conversations: Option<&Conversations>,
        caller: &Caller,
        id: &str,
    ) -> Result<Conversation, QueryError> {
        let (Some(conversations), Some(id)) = (conversations.cloned(), RandomId::parse(id)) else {
            return Err(QueryError::NotFound);
        };
        let (engine, caller) = (self.clone(), caller.clone());
        let work = move || {
            let turns = conversations.turns(&caller, id).map_err(QueryError::disk("read a conversation"))?;
            let summary = summary_of(&turns).ok_or(QueryError::NotFound)?;
            let Some(view) = engine.view(&caller, Purpose::Discover) else {
                let turns = turns.into_iter().map(withdrawn).collect();
                return Ok(conversation(summary, turns, Consistency::default()));
            };
            let pages = standing(&view, turns.iter().filter_map(|turn| turn.said.as_ref()))?;
            let gate = engine.gate(&view);
            let consistency = Consistency { index_seq: view.searcher.index_seq(), access_seq: gate.access_seq() };
            let looked = Looked { gate: &gate, pages };
            let turns = turns.into_iter().map(|turn| looked.told(turn)).collect();
            Ok(conversation(summary, turns, consistency))
        };
        self.0.pools.words.run(Deadline::after(self.config().timeout(None)), work).await
    }

    /// Looks for a conversation of a caller, and gives nothing of it.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] where the caller has no such conversation.
    pub async fn find_conversation(
        &self,
        conversations: Option<&Conversations>,
        caller: &Caller,
        id: &str,
    ) -> Result<(), QueryError> {
        let find = |conversations: Conversations, caller: Caller, id: RandomId| {
            let turns = conversations.turns(&caller, id).map_err(QueryError::disk("read a conversation"));
            turns.map(|turns| !turns.is_empty())
        };
        self.on_conversation(conversations, caller, id, find).await
    }

    /// Removes a conversation of a caller.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] where the caller has no such conversation.
    pub async fn delete_conversation(
        &self,
        conversations: Option<&Conversations>,
        caller: &Caller,
        id: &str,
    ) -> Result<(), QueryError> {
        let delete = |conversations: Conversations, caller: Caller, id: RandomId| {
            conversations.delete(&caller, id).map_err(QueryError::disk("remove a conversation"))
        };
        self.on_conversation(conversations, caller, id, delete).await
    }

    /// Does something with a conversation of a caller; it says whether there was one.
    async fn on_conversation(
        &self,
        conversations: Option<&Conversations>,
        caller: &Caller,
        id: &str,
        work: impl FnOnce(Conversations, Caller, RandomId) -> Result<bool, QueryError> + Send + 'static,
    ) -> Result<(), QueryError> {
        let (Some(conversations), Some(id)) = (conversations.cloned(), RandomId::parse(id)) else {
            return Err(QueryError::NotFound);
        };
        let caller = caller.clone();
        let deadline = Deadline::after(self.config().timeout(None));
        let was_there = self.0.pools.words.run(deadline, move || work(conversations, caller, id)).await?;
        if was_there { Ok(()) } else { Err(QueryError::NotFound) }
    }

    /// The turns before a question, as far as the caller may see them now and they still say what the pages say; all places that their words
    /// may come from, and the pages of these.
    async fn history(
        &self,
        conversations: &Conversations,
        caller: &Caller,
        id: RandomId,
        deadline: Deadline,
    ) -> Result<(Vec<Message>, Places, Vec<PageOrdinal>), QueryError> {
        let (engine, conversations, caller) = (self.clone(), conversations.clone(), caller.clone());
        let chars_max = conversations.config().history_chars_max;
        let work = move || {
            let mut turns = conversations.turns(&caller, id).map_err(QueryError::disk("read a conversation"))?;
            if turns.is_empty() {
                return Err(QueryError::NotFound);
            }
            turns.drain(..turns.len().saturating_sub(TURNS_MAX / 2));
            let view = engine.view(&caller, Purpose::Discover);
            let said = turns.iter().filter_map(|turn| turn.said.as_ref());
            let pages = view.as_ref().map_or_else(|| Ok(HashMap::new()), |view| standing(view, said))?;
            let gate = view.as_ref().map(|view| engine.gate(view));
            let looked = gate.as_ref().map(|gate| Looked { gate, pages });
            Ok(messages(turns, looked.as_ref(), chars_max))
        };
        self.0.pools.words.run(deadline, work).await
    }
}

/// Turns as a language model is told them, oldest first: the newest of them, as far as the characters reach. An answer that was withdrawn or
/// does not say any more what its pages say is left out; its question stays.
fn messages(
    turns: Vec<Turn>,
    looked: Option<&Looked<'_>>,
    chars_max: usize,
) -> (Vec<Message>, Places, Vec<PageOrdinal>) {
    let (mut messages, mut also, mut left) = (Vec::new(), Places::new(), chars_max);
    for turn in turns.into_iter().rev() {
        let said = turn.said.as_ref().zip(looked);
        let said = said.filter(|(said, looked)| looked.is_stale(said) == Some(false));
        let answer = said.map(|(said, looked)| (looked.cleaned(&said.answer, said.sources.len()), said.places()));
        let answer = answer.filter(|(text, _)| text.chars().count() + turn.question.chars().count() <= left);
        if let Some((text, places)) = answer {
            left -= text.chars().count();
            for (page, blocks) in places {
                also.entry(page).or_default().extend(blocks);
            }
            let content = text.chars().take(TURN_CHARS_MAX).collect();
            messages.push(Message { role: TurnRole::Assistant, content });
        }
        let Some(rest) = left.checked_sub(turn.question.chars().count()) else { break };
        left = rest;
        messages.push(Message { role: TurnRole::User, content: turn.question });
    }
    messages.reverse();
    let pages: BTreeSet<u32> = match looked {
        Some(looked) => also.keys().filter_map(|page| Some(looked.gate.look_by_id(page)?.ordinal().0)).collect(),
        None => BTreeSet::new(),
    };
    (messages, also, pages.into_iter().map(PageOrdinal).collect())
}

impl Looked<'_> {
    /// Whether something that an answer was made of was changed since; `None` where some of it can be seen no more.
    fn is_stale(&self, said: &Said) -> Option<bool> {
        let mut stale = false;
        for (page, blocks) in &said.also {
            let standing = self.standing(page)?;
            if !blocks.iter().all(|block| standing.contains_key(block)) {
                return None;
            }
        }
        for source in &said.sources {
            let (permit, standing) = (self.gate.look_by_id(&source.page)?, self.standing(&source.page)?);
            for (block, version) in source.read() {
                stale |= standing.get(block)? != version;
            }
            stale |= source.told.as_ref().is_some_and(|told| !told.is_title(&permit.head().title));
        }
        Some(stale)
    }

    /// The blocks of a page, if the caller may find it now.
    fn standing(&self, page: &PageId) -> Option<&Standing> {
        self.gate.look_by_id(page)?;
        self.pages.get(page)
    }

    /// A text made of so many sources, of which links lead nowhere but to pages that the caller can read now.
    fn cleaned(&self, text: &str, sources: usize) -> String {
        let link: PageLink<'_> = &|address| self.gate.page_address(address);
        let mut scanner = Scanner::new(sources);
        let outs = scanner.push(text, link).into_iter().chain(scanner.finish(link));
        outs.map(|out| match out {
            Out::Text(text) => text,
            Out::Marker(number) => format!("[{number}]"),
        })
        .collect()
    }

    /// A turn as its owner may see it.
    fn told(&self, mut turn: Turn) -> ConversationTurn {
        let seen = turn.said.take().and_then(|said| Some((self.is_stale(&said)?, self.sources(&said)?, said)));
        let Some((stale, sources, said)) = seen else { return withdrawn(turn) };
        let mut sentences = said.sentences;
        for sentence in &mut sentences {
            sentence.text = self.cleaned(&sentence.text, sources.len());
        }
        ConversationTurn {
            stale,
            withdrawn: false,
            answer: self.cleaned(&said.answer, sources.len()),
            sentences,
            citations: said.citations,
            sources,
            not_found: said.not_found,
            extractive: said.extractive,
            model: said.model,
            ..withdrawn(turn)
        }
    }

    /// The sources of an answer as they are now.
    fn sources(&self, said: &Said) -> Option<Vec<KeptSource>> {
        let source = |(number, source): (u32, &Source)| {
            let permit = self.gate.look_by_id(&source.page)?;
            let standing = self.standing(&source.page)?;
            let blocks = source.read().map(|(block, version)| KeptBlock {
                block: block.clone(),
                version: version.clone(),
                stale: standing.get(block) != Some(version),
            });
            let blocks = blocks.collect();
            Some(KeptSource { number, page: permit.summary(), breadcrumb: permit.breadcrumb(), blocks })
        };
        (1..).zip(&said.sources).map(source).collect()
    }
}

/// The blocks that stand now on the pages that answers were made of, as far as the mask allows to read them.
fn standing<'a>(view: &View, said: impl Iterator<Item = &'a Said>) -> Result<HashMap<PageId, Standing>, QueryError> {
    let mut pages = HashMap::new();
    for page in said.flat_map(Said::pages).collect::<BTreeSet<_>>() {
        let Some(ordinal) = view.workspace.read().access.ordinal_of(page) else { continue };
        if !view.mask.allows(ordinal) {
            continue;
        }
        let failed = QueryError::index("read a page");
        let Some(record) = view.searcher.page_record(&view.mask, ordinal).map_err(failed)? else { continue };
        let blocks = record.blocks.iter().filter_map(|(id, block)| {
            let (place, _) = block.shown()?;
            let version = block.content.version().filter(|_| place.page == *page)?;
            Some((id.clone(), version.clone()))
        });
        pages.insert(page.clone(), blocks.collect());
    }
    Ok(pages)
}

/// A turn of which nothing is told but its question.
fn withdrawn(turn: Turn) -> ConversationTurn {
    ConversationTurn {
        question: turn.question,
        at: turn.at,
        withdrawn: !turn.unanswered,
        unanswered: turn.unanswered,
        stale: false,
        answer: String::new(),
        sentences: Vec::new(),
        citations: Vec::new(),
        sources: Vec::new(),
        not_found: false,
        extractive: false,
        model: None,
    }
}

fn summary_of(turns: &[Turn]) -> Option<ConversationSummary> {
    let (first, last) = (turns.first()?, turns.last()?);
    let summary = conversations::summary_of(first);
    Some(ConversationSummary { updated_at: last.at, turns: turns.len() as u32, ..summary })
}

fn conversation(summary: ConversationSummary, turns: Vec<ConversationTurn>, consistency: Consistency) -> Conversation {
    let object = ConversationObject::Conversation;
    Conversation { object, summary, turns, consistency, request_id: String::new() }
}

/// Where a conversation stands in a list: after those of a later time.
fn place_of(summary: &ConversationSummary) -> (u64, String) {
    (summary.updated_at.as_microsecond().try_into().unwrap_or(0), summary.id.clone())
}

fn write_cursor(last: &ConversationSummary) -> String {
    let (at, id) = place_of(last);
    format!("{at:0TIME_DIGITS$x}{id}")
}

fn read_cursor(text: &str) -> Option<(u64, String)> {
    let (at, id) = text.split_at_checked(TIME_DIGITS)?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    let id = RandomId::parse(id).filter(|_| is_plain)?;
    Some((u64::from_str_radix(at, 16).ok()?, id.to_string()))
}
