//! What requests leave in the audit log: who, which pages, and nothing of what pages or people say.

use std::time::Duration;

use query::audit::act::{Actor, Kind};
use query::audit::verify::{Filter, Shown, Wanted, show, verify};
use query::audit::{AuditConfig, OnFailure};
use schemas::ids::{UserId, WorkspaceId};
use serde_json::json;

use super::harness::{ACME_ADMIN_KEY, ADMIN_KEY, Client, SEARCH_KEY, caller, token};

fn lines(client: &Client) -> Vec<Shown> {
    assert!(client.audit.settle(Duration::from_mins(1)));
    let mut lines = show(client.audit.dir(), &Filter::default(), 1_000).unwrap();
    lines.retain(|line| line.what.as_ref().is_some_and(|what| what.kind != Kind::Log));
    lines
}

fn raw(client: &Client) -> String {
    let files =
        std::fs::read_dir(client.audit.dir()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

#[tokio::test]
async fn searches_answers_and_opened_pages_are_recorded_by_ids_alone() {
    use Kind::{Answer, Export, Generate, Open, Search, Similar};

    let client = Client::new();
    client.get_as("bob", "/v1/search?query=telescope%20deploy").await;
    client.get_as("bob", "/v1/similar?page=runbook").await;
    client.get_as("bob", "/v1/suggest?query=dep").await;
    client.get_as("bob", "/v1/pages/runbook").await;
    client.get_as("bob", "/v1/pages/runbook/export").await;
    client.get_as("bob", "/v1/pages/secret").await;
    let bearer = format!("Bearer {}", token("acme", "bob", ""));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-request-id", "r-1")];
    client.post("/v1/answers", &headers, json!({"question": "How do we deploy?"}).to_string()).await;
    client.post("/v1/generate", &headers, json!({"task": "summarise", "pages": ["runbook"]}).to_string()).await;
    let chat = json!({"model": "tessera", "messages": [{"role": "user", "content": "How do we deploy?"}]});
    client.post("/v1/chat/completions", &headers, chat.to_string()).await;
    client.tool_as("bob", "search", json!({"query": "deploy"})).await;
    client.tool_as("bob", "fetch", json!({"id": "runbook"})).await;
    client.get("/v1/pages/handbook?workspace=acme", &[]).await;
    let key = format!("Bearer {SEARCH_KEY}");
    let service = [("authorization", key.as_str()), ("tessera-workspace", "acme"), ("tessera-act-as", "gus")];
    client.get("/v1/search?query=deploy", &service).await;
    let lines = lines(&client);
    let kinds: Vec<Kind> = lines.iter().map(|line| line.what.as_ref().unwrap().kind).collect();
    assert_eq!(
        kinds,
        [Search, Similar, Open, Export, Answer, Generate, Answer, Search, Open, Open, Search],
        "no suggestion, and nothing of a page that may not be seen"
    );
    for line in &lines[..9] {
        let (who, what) = (line.who.as_ref().unwrap(), line.what.as_ref().unwrap());
        assert_eq!(who.actor, Actor::Person { user: UserId::new("bob").unwrap() });
        assert_eq!(what.workspace.as_ref().unwrap().as_str(), "acme");
        assert!(what.pages.iter().any(|page| page.as_str() == "runbook"), "{line:?}");
        assert!(who.text.is_none() && what.request.is_some());
    }
    assert_eq!(lines[4].what.as_ref().unwrap().request.as_deref(), Some("r-1"));
    assert_eq!(lines[9].who.as_ref().unwrap().actor, Actor::Nobody);
    let user = Some(UserId::new("gus").unwrap());
    assert_eq!(lines[10].who.as_ref().unwrap().actor, Actor::Service { key: "search".into(), user });
    let raw = raw(&client);
    for text in ["telescope", "deploy", "Deploy", "rollback", "summarise", "secret", SEARCH_KEY, bearer.as_str()] {
        assert!(!raw.contains(text), "{text}");
    }
    assert!(verify(client.audit.dir(), Wanted::default()).unwrap().intact);
}

#[tokio::test]
async fn kept_conversations_are_recorded_by_their_ids_and_those_of_their_pages() {
    use Kind::{Answer, ConversationOpened, ConversationRemoved, ConversationsListed};

    let client = Client::new();
    let begun =
        client.answer_as("bob", json!({"question": "How long does a rollback take?", "conversation": "new"})).await;
    let id = begun.json["conversation"].as_str().unwrap().to_owned();
    let path = format!("/v1/conversations/{id}");
    client.get_as("bob", "/v1/conversations").await;
    client.get_as("bob", &path).await;
    assert_eq!(client.get_as("ada", &path).await.status, 404, "nobody sees those of others");
    assert_eq!(client.delete_as("bob", &path).await.status, 204);
    assert_eq!(client.delete_as("bob", &path).await.status, 404);
    let lines = lines(&client);
    let kinds: Vec<Kind> = lines.iter().map(|line| line.what.as_ref().unwrap().kind).collect();
    assert_eq!(kinds, [Answer, ConversationsListed, ConversationOpened, ConversationRemoved]);
    let whats: Vec<_> = lines.into_iter().filter_map(|line| line.what).collect();
    let [_, listed, opened, removed] = whats.as_slice() else { unreachable!("there are four") };
    assert_eq!(listed.notes["conversations"], "1");
    assert_eq!((&opened.notes["conversation"], &removed.notes["conversation"]), (&id, &id));
    assert!(opened.pages.iter().any(|page| page.as_str() == "runbook"), "{opened:?}");
    assert!(!raw(&client).contains("rollback"), "no question and no answer");
}

#[tokio::test]
async fn an_answer_that_is_gone_on_with_is_recorded_again() {
    let client = Client::new();
    let bearer = format!("Bearer {}", token("acme", "bob", ""));
    let body = json!({"question": "How long does a rollback take?", "stream": true}).to_string();
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let first = client.post("/v1/answers", &headers, body.clone()).await;
    let text = String::from_utf8(first.body.to_vec()).unwrap();
    let last = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let headers = [headers[0], headers[1], ("last-event-id", last)];
    assert_eq!(client.post("/v1/answers", &headers, body).await.status, 200);
    let lines = lines(&client);
    let resumed: Vec<_> = lines.iter().map(|line| line.what.as_ref().unwrap().notes.get("resumed")).collect();
    assert_eq!(resumed, [None, Some(&"true".to_owned())]);
}

#[tokio::test]
async fn explanations_and_refused_requests_are_recorded() {
    let client = Client::audited(AuditConfig { keep_text: true, ..AuditConfig::default() });
    let admin = format!("Bearer {}", token("acme", "ada", "admin"));
    client.get("/v1/explain-access?page=secret&user=bob", &[("authorization", &admin)]).await;
    client.get_as("bob", "/v1/explain-access?page=secret&user=bob").await;
    client.get("/v1/search?query=x", &[("authorization", "Bearer x.y.z")]).await;
    client.get("/v1/status", &[]).await;
    client.get_as("bob", "/v1/search?query=deploy").await;
    let lines = lines(&client);
    let explained = &lines[0];
    assert_eq!(explained.what.as_ref().unwrap().kind, Kind::ExplainAccess);
    assert_eq!(explained.who.as_ref().unwrap().about, Some(UserId::new("bob").unwrap()));
    let noted = |line: &Shown| {
        let notes = &line.what.as_ref().unwrap().notes;
        ["route", "shown", "status"].map(|name| notes[name].clone())
    };
    assert_eq!(noted(&lines[1]), ["/v1/explain-access", "token", "403"]);
    assert_eq!(noted(&lines[2]), ["/v1/search", "token", "401"]);
    assert_eq!(noted(&lines[3]), ["/v1/status", "nothing", "401"]);
    // Of one who is known it is told who it was, in which workspace; of others nothing that they say of themselves.
    let who = |line: &Shown| (line.who.as_ref().unwrap().actor.clone(), line.what.as_ref().unwrap().workspace.clone());
    let bob = Actor::Person { user: UserId::new("bob").unwrap() };
    assert_eq!(who(&lines[1]), (bob, Some(WorkspaceId::new("acme").unwrap())));
    assert_eq!(who(&lines[2]), (Actor::Nobody, None));
    assert_eq!(who(&lines[3]), (Actor::Nobody, None));
    assert_eq!(lines[4].who.as_ref().unwrap().text.as_deref(), Some("deploy"), "where it is allowed");
    let key = format!("Bearer {ADMIN_KEY}");
    let metrics = client.get("/metrics", &[("authorization", &key)]).await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("tessera_query_audit_recorded_total 5\n"), "{text}");
    assert!(text.contains("tessera_query_audit_lost_total 0\n"), "{text}");
}

#[tokio::test]
async fn a_key_that_reaches_for_another_workspace_is_recorded_by_its_name() {
    let client = Client::new();
    let key = format!("Bearer {ACME_ADMIN_KEY}");
    let headers = [("authorization", key.as_str()), ("tessera-workspace", "globex"), ("tessera-act-as", "eve")];
    assert_eq!(client.get("/v1/search?query=deploy", &headers).await.status, 403);
    assert_eq!(client.get("/metrics", &headers[..1]).await.status, 403);
    let tool = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(client.post("/mcp", &headers, tool.to_string()).await.status, 403);
    for line in lines(&client) {
        let who = line.who.as_ref().unwrap();
        assert!(matches!(&who.actor, Actor::Service { key, user: None } if key == "acme-admin"), "{who:?}");
        assert_eq!(line.what.unwrap().workspace, None, "what it says there is not its own");
    }
}

#[tokio::test]
async fn where_nothing_may_go_unrecorded_searches_are_turned_away_and_events_are_not() {
    let client = Client::audited(AuditConfig { on_failure: OnFailure::Refuse, ..AuditConfig::default() });
    assert_eq!(client.get_as("bob", "/v1/search?query=deploy").await.status, 200);
    client.audit.close();
    let refused = client.get_as("bob", "/v1/search?query=deploy").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "unavailable"));
    assert!(refused.headers.contains_key("retry-after"));
    for path in ["/v1/pages/runbook", "/v1/pages/runbook/export", "/v1/similar?page=runbook"] {
        assert_eq!(client.get_as("bob", path).await.status, 503, "{path}");
    }
    let key = format!("Bearer {}", super::harness::INGEST_KEY);
    let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
    let revocation = json!({
        "specversion": "1.0", "id": "1", "source": "x:y", "type": "member.changed", "workspaceid": "acme", "subject": "bob",
        "data": {"role": "removed", "version": {"clock": {"eu": 1}, "timestamp": {"wall_ms": 1}, "region": "eu"}},
    });
    assert_eq!(client.post("/v1/events", &headers, revocation.to_string()).await.status, 202);
    assert_eq!(client.get("/healthz", &[]).await.status, 200);
}

/// It was gone by the time that the request was turned away.
#[tokio::test]
async fn a_conversation_stays_where_its_removal_cannot_be_recorded() {
    let client = Client::audited(AuditConfig { on_failure: OnFailure::Refuse, ..AuditConfig::default() });
    let asked = json!({"question": "How long does a rollback take?", "conversation": "new"});
    let begun = client.answer_as("bob", asked).await;
    let path = format!("/v1/conversations/{}", begun.json["conversation"].as_str().unwrap());
    client.audit.close();
    assert_eq!(client.delete_as("bob", &path).await.status, 503);
    let bob = caller("acme", "bob");
    let kept = client.engine.conversations(Some(&client.conversations), &bob, 9, None).await.unwrap();
    assert_eq!(kept.results.len(), 1);
}
