//! Pages and answers as documents.

use serde_json::json;

use super::harness::{Client, token};

#[tokio::test]
async fn a_page_is_exported_to_those_who_can_read_it() {
    let client = Client::new();
    let reply = client.get_as("bob", "/v1/pages/runbook/export").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["content-type"]),
        (200, &"text/markdown; charset=utf-8".parse().unwrap())
    );
    assert_eq!(reply.headers["content-disposition"], "attachment; filename=\"page.md\"");
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let expected =
        "# Deploy runbook\n\nDeploy the telescope service in the blue green way.\n\nA rollback takes one minute.\n";
    assert_eq!(text, expected);
    let mut bodies = Vec::new();
    for page in ["absent", "secret", "plan", "drafts", "x%20y"] {
        let bearer = format!("Bearer {}", token("acme", "bob", ""));
        let headers = [("authorization", bearer.as_str()), ("x-request-id", "same")];
        let reply = client.get(&format!("/v1/pages/{page}/export?format=markdown"), &headers).await;
        assert_eq!(reply.status, 404, "{page}");
        bodies.push(reply.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    assert_eq!(client.get("/v1/pages/notice/export?workspace=acme", &[]).await.status, 200, "it is public");
    assert_eq!(client.get_as("bob", "/v1/pages/runbook/export?format=pdf").await.code(), "invalid_request");
}

#[tokio::test]
async fn an_answer_is_a_document_where_that_is_asked_for() {
    let client = Client::new();
    let bearer = format!("Bearer {}", token("acme", "bob", ""));
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("accept", "text/markdown")];
    let question = json!({"question": "How long does a rollback take?"});
    let reply = client.post("/v1/answers", &headers, question.to_string()).await;
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let begins = "# How long does a rollback take?\n\nA rollback takes one minute. [1]\n\n---\n\n1. [Deploy runbook](</#/page/runbook>), Engineering, 2026-03-03\n";
    assert!(text.starts_with(begins), "{text}");
}
