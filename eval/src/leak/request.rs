//! What people ask, at random, and what they are told, in a form that can be judged.

use std::collections::BTreeSet;
use std::time::Duration;

use access::Caller;
use anyhow::{Context as _, Result};
use query::answer::outgoing::AnswerEvent;
use query::deadline::Deadline;
use query::engine::Engine;
use query::error::QueryError;
use query::export::ExportFormat;
use query::feedback::Feedback;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use schemas::api::answers::{AnswerRequest, AnswerSource};
use schemas::api::feedback::{FeedbackEvent, FeedbackKind, FeedbackRequest};
use schemas::api::generate::{GenerateRequest, GenerateTask};
use schemas::api::pages::PageView;
use schemas::api::search::{Facet, Mode, SearchRequest, SearchResponse};
use schemas::api::suggest::{SimilarResponse, SuggestResponse, Suggestion};
use schemas::ids::PageId;
use serde::Serialize;

use super::pdf_text::text_of;
use super::product::{Place, Product, SHARED_TAG, SHARED_WORDS};

/// Far more than a request takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// One request.
#[derive(Clone, Debug)]
pub enum Request {
    /// Pages with any of some words.
    Words {
        /// The words.
        words: Vec<String>,
        /// Whether the last one is only begun.
        prefix: bool,
        /// Which retrievers.
        mode: Mode,
    },
    /// Pages with one word and without another.
    Without {
        /// The word.
        word: String,
        /// The other one.
        without: String,
    },
    /// Pages with a word in the title.
    Title(String),
    /// All pages, or those with a tag.
    List {
        /// The tag.
        tag: Option<String>,
        /// Whether those in the trash.
        trash: bool,
    },
    /// Whatever the query language allows: for it alone nothing is expected but that nothing leaks.
    Free {
        /// The query.
        query: String,
        /// Whether to look through the trash.
        trash: bool,
    },
    /// Completions.
    Suggest(String),
    /// Pages about the same.
    Similar(PageId),
    /// One page.
    Page(PageId),
    /// One page as a file.
    Export {
        /// The page.
        page: PageId,
        /// In which form.
        format: ExportFormat,
    },
    /// An answer.
    Answer {
        /// The question.
        question: String,
        /// Whether it comes piece by piece.
        stream: bool,
    },
    /// A text made of pages.
    Generate {
        /// What to make.
        task: GenerateTask,
        /// The pages.
        pages: Vec<PageId>,
        /// Whether it comes piece by piece.
        stream: bool,
    },
}

impl Request {
    /// A random one.
    pub fn random(product: &Product, rng: &mut SmallRng) -> Self {
        let pages = product.page_ids();
        let at = rng.random_range(0..pages.len());
        let page = pages[at].clone();
        let place = *[Place::Title, Place::Text, Place::Tag].choose(rng).expect("it is not empty");
        let own = product.own_word(at, place);
        let shared = |rng: &mut SmallRng| (*SHARED_WORDS.choose(rng).expect("it is not empty")).to_owned();
        let mode = *[Mode::Hybrid, Mode::Lexical, Mode::Semantic].choose(rng).expect("it is not empty");
        match rng.random_range(0..28) {
            0..3 => Self::Words { words: vec![shared(rng)], prefix: false, mode },
            3 | 4 => Self::Words { words: vec![own], prefix: false, mode },
            5 => Self::Words { words: vec![shared(rng), own], prefix: false, mode },
            6 => Self::Words { words: vec![shared(rng)[..4].to_owned()], prefix: true, mode },
            7 => Self::Without { word: shared(rng), without: shared(rng) },
            8 => Self::Title(if rng.random_bool(0.5) { shared(rng) } else { own }),
            9 | 10 => {
                let tags = [None, Some(SHARED_TAG.to_owned()), Some(product.own_word(at, Place::Tag))];
                Self::List { tag: tags.choose(rng).cloned().flatten(), trash: rng.random_bool(0.4) }
            }
            11 | 12 => Self::Free { query: free(&own, &shared(rng), &page, rng), trash: rng.random_bool(0.3) },
            13..15 => Self::Suggest(match rng.random_range(0..3) {
                0 => place.prefix().to_owned(),
                1 => shared(rng)[..3].to_owned(),
                _ => own[..5].to_owned(),
            }),
            15..17 => Self::Similar(page),
            17..20 => {
                let questions =
                    [own.clone(), shared(rng), format!("in:{page} {}", shared(rng)), format!("{own} {}", shared(rng))];
                let question = questions.choose(rng).expect("it is not empty").clone();
                Self::Answer { question, stream: rng.random_bool(0.5) }
            }
            20..23 => {
                let tasks = [GenerateTask::Summarise, GenerateTask::KeyPoints, GenerateTask::ActionItems];
                let task = *tasks.choose(rng).expect("it is not empty");
                let mut of = vec![page];
                if rng.random_bool(0.4) {
                    let other = pages.choose(rng).expect("it is not empty");
                    of.extend((*other != of[0]).then(|| other.clone()));
                }
                Self::Generate { task, pages: of, stream: rng.random_bool(0.5) }
            }
            23 | 24 => Self::Export { page, format: *ExportFormat::ALL.choose(rng).expect("it is not empty") },
            _ => Self::Page(page),
        }
    }

    fn search(&self) -> Option<SearchRequest> {
        let (query, mode, prefix, trash) = match self {
            Self::Words { words, prefix, mode } => (words.join(" "), *mode, *prefix, false),
            Self::Without { word, without } => (format!("{word} -{without}"), Mode::Lexical, false, false),
            Self::Title(word) => (format!("title:{word}"), Mode::Lexical, false, false),
            Self::List { tag, trash } => {
                (tag.as_ref().map_or_else(String::new, |tag| format!("tag:{tag}")), Mode::Hybrid, false, *trash)
            }
            Self::Free { query, trash } => (query.clone(), Mode::Hybrid, true, *trash),
            Self::Suggest(_)
            | Self::Similar(_)
            | Self::Page(_)
            | Self::Export { .. }
            | Self::Answer { .. }
            | Self::Generate { .. } => return None,
        };
        Some(SearchRequest {
            query,
            mode,
            prefix,
            include_trashed: trash,
            facets: vec![Facet::Type, Facet::Author, Facet::Tag, Facet::In],
            limit: 100,
            score_details: true,
            ..SearchRequest::default()
        })
    }
}

fn free(own: &str, shared: &str, page: &PageId, rng: &mut SmallRng) -> String {
    let mut typo = own.to_owned();
    typo.replace_range(3..4, "y");
    let queries = [
        typo,
        format!("\"{shared} {own}\""),
        format!("{shared} in:{page}"),
        format!("-in:{page}"),
        format!("{shared} -{own}"),
        format!("{shared} author:user1"),
        "type:page".to_owned(),
        format!("-tag:{SHARED_TAG}"),
        format!("-{shared}"),
        format!("title:\"{own}\""),
        format!("{}x", &shared[..shared.len() - 1]),
    ];
    queries.choose(rng).expect("it is not empty").clone()
}

/// What was told.
#[derive(Debug)]
pub struct Answer {
    /// The pages that are listed or opened.
    pub pages: BTreeSet<PageId>,
    /// All of it, as it goes over the wire.
    pub json: String,
    /// The parts that are judged one by one.
    pub body: Body,
}

/// A body of a response.
#[derive(Debug)]
pub enum Body {
    /// There is no such page for this caller.
    Absent,
    /// Of a search.
    Search(Box<SearchResponse>),
    /// Of completions.
    Suggest(SuggestResponse),
    /// Of pages about the same.
    Similar(SimilarResponse),
    /// Of a page.
    Page(Box<PageView>),
    /// Of a page as a file.
    Exported,
    /// Of an answer.
    Answer,
    /// Of a text made of pages.
    Generated,
    /// Of something that ended because access to its sources was lost.
    Lost,
}

/// Asks the read side.
pub async fn ask(engine: &Engine, caller: &Caller, request: &Request) -> Result<Answer> {
    let deadline = Deadline::after(PATIENCE);
    let told = match request {
        Request::Suggest(typed) => {
            let body = engine.suggest(caller, typed, 50, deadline).await.context("suggest")?;
            let page = |suggestion: &Suggestion| match suggestion {
                Suggestion::Page { page, .. } => Some(page.id.clone()),
                Suggestion::Term { .. } => None,
            };
            answer(&body, body.results.iter().filter_map(page))?.with(Body::Suggest(body))
        }
        Request::Similar(page) => match engine.similar(caller, page, 50, deadline).await {
            Ok(body) => {
                answer(&body, body.results.iter().map(|similar| similar.page.id.clone()))?.with(Body::Similar(body))
            }
            Err(QueryError::NotFound) => absent(),
            Err(error) => return Err(error).context("similar"),
        },
        Request::Page(page) => match engine.page(caller, page, deadline).await {
            Ok(body) => answer(&body, [body.page.id.clone()])?.with(Body::Page(Box::new(body))),
            Err(QueryError::NotFound) => absent(),
            Err(error) => return Err(error).context("page"),
        },
        Request::Export { page, format } => match engine.export_page(caller, page, *format, deadline).await {
            Ok(bytes) => Answer { pages: [page.clone()].into(), json: read(&bytes, *format)?, body: Body::Exported },
            Err(QueryError::NotFound) => absent(),
            Err(QueryError::AccessChanged) => absent().with(Body::Lost),
            Err(error) => return Err(error).context("export"),
        },
        Request::Generate { task, pages, stream } => generate(engine, caller, *task, pages, *stream).await?,
        Request::Answer { question, stream } => match answer_to(engine, caller, question, *stream).await? {
            Some(told) => told.with(Body::Answer),
            None => absent(),
        },
        search => {
            let search = search.search().context("what is left is a search")?;
            let body = engine.search(caller, search, deadline).await.context("search")?;
            let pages: Vec<PageId> = body.results.iter().map(|hit| hit.page.id.clone()).collect();
            answer(&body, pages)?.with(Body::Search(Box::new(body)))
        }
    };
    Ok(told)
}

/// What a file says.
fn read(bytes: &[u8], format: ExportFormat) -> Result<String> {
    match format {
        ExportFormat::Markdown => String::from_utf8(bytes.to_vec()).context("Markdown is text"),
        ExportFormat::Pdf => text_of(bytes),
    }
}

/// An answer, whole or as the events that went out; `None` where access was lost while it was written.
async fn answer_to(engine: &Engine, caller: &Caller, question: &str, stream: bool) -> Result<Option<Answer>> {
    let request = AnswerRequest { question: question.to_owned(), stream, ..AnswerRequest::default() };
    let mut answering = engine.ask(caller, request, String::new()).await.context("answer")?;
    let pages = |sources: &[AnswerSource]| sources.iter().map(|source| source.page.id.clone()).collect::<Vec<PageId>>();
    if !stream {
        return match answering.whole().await {
            Ok(body) => answer(&body, pages(&body.sources)).map(Some),
            Err(QueryError::AccessChanged) => Ok(None),
            Err(error) => Err(error).context("answer"),
        };
    }
    let (mut listed, mut json) = (Vec::new(), String::new());
    while let Some(event) = answering.next().await {
        if let AnswerEvent::Sources(sources) = &event {
            listed = pages(&sources.sources);
        }
        json.push_str(&serde_json::to_string(&event).context("an event is JSON")?);
    }
    Ok(Some(Answer { pages: listed.into_iter().collect(), json, body: Body::Absent }))
}

/// A text made of pages, whole or as the events that went out.
async fn generate(
    engine: &Engine,
    caller: &Caller,
    task: GenerateTask,
    pages: &[PageId],
    stream: bool,
) -> Result<Answer> {
    let request = GenerateRequest { task, pages: pages.to_vec(), stream, ..GenerateRequest::default() };
    let mut composing = match engine.generate(caller, request, String::new()).await {
        Ok(composing) => composing,
        Err(QueryError::NotFound) => return Ok(absent()),
        Err(error) => return Err(error).context("generate"),
    };
    let listed =
        |sources: &[AnswerSource]| sources.iter().map(|source| source.page.id.clone()).collect::<Vec<PageId>>();
    if !stream {
        return match composing.whole().await {
            Ok(body) => Ok(answer(&body, listed(&body.sources))?.with(Body::Generated)),
            Err(QueryError::AccessChanged) => Ok(absent().with(Body::Lost)),
            Err(error) => Err(error).context("generate"),
        };
    }
    let (mut told, mut json, mut body) = (Vec::new(), String::new(), Body::Generated);
    while let Some(event) = composing.next().await {
        match &event {
            AnswerEvent::Sources(sources) => told = listed(&sources.sources),
            AnswerEvent::Error(_) => body = Body::Lost,
            _ => {}
        }
        json.push_str(&serde_json::to_string(&event).context("an event is JSON")?);
    }
    Ok(Answer { pages: told.into_iter().collect(), json, body })
}

/// What became of feedback on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The pages that were shown.
    pub shown: BTreeSet<PageId>,
    /// Whether feedback on a page was taken from whom they were shown to.
    pub accepted: bool,
    /// Whether it was taken from somebody else.
    pub accepted_from_other: bool,
}

/// Searches with feedback recorded, and says for the caller and for somebody else that a page was clicked.
pub async fn tell(
    engine: &Engine,
    feedback: &Feedback,
    caller: &Caller,
    other: &Caller,
    query: &str,
    page: &PageId,
) -> Result<Told> {
    let search = SearchRequest { query: query.to_owned(), limit: 100, ..SearchRequest::default() };
    let list = engine.search_recorded(caller, search, feedback, Deadline::after(PATIENCE)).await.context("search")?;
    let click = FeedbackEvent { kind: FeedbackKind::Click, page: page.clone(), rank: None, dwell_ms: None, at: None };
    let tracking_id = list.tracking_id.context("a recorded list has a tracking id")?;
    let request = FeedbackRequest { tracking_id, events: vec![click] };
    let accepts = |caller| match engine.take_feedback(feedback, caller, &request) {
        Ok(_) => Ok(true),
        Err(QueryError::NotFound) => Ok(false),
        Err(error) => Err(error).context("feedback"),
    };
    Ok(Told {
        shown: list.results.into_iter().map(|hit| hit.page.id).collect(),
        accepted: accepts(caller)?,
        accepted_from_other: accepts(other)?,
    })
}

pub(super) fn absent() -> Answer {
    Answer { pages: BTreeSet::new(), json: String::new(), body: Body::Absent }
}

pub(super) fn answer(body: &impl Serialize, pages: impl IntoIterator<Item = PageId>) -> Result<Answer> {
    let json = serde_json::to_string(body).context("a response is JSON")?;
    Ok(Answer { pages: pages.into_iter().collect(), json, body: Body::Absent })
}

impl Answer {
    pub(super) fn with(self, body: Body) -> Self {
        Self { body, ..self }
    }
}
