//! Pages and answers as documents.

use std::process::Command;

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
    assert_eq!(client.get_as("bob", "/v1/pages/runbook/export?format=odt").await.code(), "invalid_request");
}

#[tokio::test]
async fn a_page_is_exported_as_pdf_to_those_who_can_read_it() {
    let client = Client::new();
    let reply = client.get_as("bob", "/v1/pages/runbook/export?format=pdf").await;
    assert_eq!((reply.status.as_u16(), &reply.headers["content-type"]), (200, &"application/pdf".parse().unwrap()));
    assert_eq!(reply.headers["content-disposition"], "attachment; filename=\"page.pdf\"");
    assert!(reply.body.starts_with(b"%PDF-1.7"));
    if let Some(text) = text_of(&reply.body) {
        let expected = "Deploy runbook\nEngineering\n2026-03-03 12:00 UTC\n\
                        Deploy the telescope service in the blue green way.\nA rollback takes one minute.\n1\n";
        assert_eq!(text, expected);
    }
    let mut bodies = Vec::new();
    for (page, format) in
        [("absent", "pdf"), ("secret", "pdf"), ("plan", "pdf"), ("drafts", "pdf"), ("secret", "markdown")]
    {
        let bearer = format!("Bearer {}", token("acme", "bob", ""));
        let headers = [("authorization", bearer.as_str()), ("x-request-id", "same")];
        let reply = client.get(&format!("/v1/pages/{page}/export?format={format}"), &headers).await;
        assert_eq!(reply.status, 404, "{page}");
        bodies.push(reply.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    assert_eq!(client.get("/v1/pages/notice/export?workspace=acme&format=pdf", &[]).await.status, 200, "it is public");
}

/// What a reader of PDF copies out of a document, its lines alone; `None`, and said, where poppler's `pdftotext` is not there.
pub(super) fn text_of(pdf: &[u8]) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("document.pdf");
    std::fs::write(&file, pdf).unwrap();
    let output = match Command::new("pdftotext").arg("-layout").arg(&file).arg("-").output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: what pdftotext reads ({error})");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Some(lines.flat_map(|line| [line, "\n"]).collect())
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
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("accept", "application/pdf")];
    let reply = client.post("/v1/answers", &headers, question.to_string()).await;
    assert_eq!((reply.status.as_u16(), &reply.headers["content-type"]), (200, &"application/pdf".parse().unwrap()));
    assert_eq!(reply.headers["content-disposition"], "attachment; filename=\"answer.pdf\"");
    if let Some(text) = text_of(&reply.body) {
        let begins = "How long does a rollback take?\nA rollback takes one minute. [1]\n1. Deploy runbook, Engineering, 2026-03-03\n";
        assert!(text.starts_with(begins), "{text}");
    }
}
