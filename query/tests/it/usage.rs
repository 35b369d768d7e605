//! `/v1/usage`: that it adds up, and tells administrators of their own workspace alone.

use models::generate::{BudgetConfig, Entry, Outcome, Task};
use serde_json::json;

use super::harness::{ADMIN_KEY, Client, token};

fn entry(at: &str, workspace: &str, user: &str, cost_micros: u64) -> Entry {
    Entry {
        at: at.parse().unwrap(),
        workspace: workspace.into(),
        user: user.into(),
        task: Task::Answer,
        endpoint: "main".into(),
        model: "small".into(),
        prompt_tokens: 100,
        completion_tokens: 10,
        cost_micros,
        outcome: Outcome::Complete,
        duration_ms: 5,
        first_text_ms: Some(1),
    }
}

#[tokio::test]
async fn usage_is_told_to_administrators_of_the_workspace_and_adds_up() {
    let client = Client::new();
    for made in [
        entry("2026-03-01T10:00:00Z", "acme", "ada", 7),
        entry("2026-03-01T23:59:59Z", "acme", "ada", 5),
        entry("2026-03-02T00:00:00Z", "acme", "bob", 3),
        entry("2026-04-02T00:00:00Z", "acme", "bob", 900),
        entry("2026-03-02T00:00:00Z", "globex", "eve", 1_000),
    ] {
        client.ledger.record(&made);
    }
    let march = "/v1/usage?from=2026-03-01&to=2026-03-31";
    let admin = format!("Bearer {}", token("acme", "bob", "admin"));
    let told = client.get(march, &[("authorization", &admin)]).await;
    let line = |day: &str, user: &str, calls: u64, cost: u64| {
        let (prompt, completion) = (100 * calls, 10 * calls);
        json!({"day": day, "user": user, "model": "small", "calls": calls, "prompt_tokens": prompt, "completion_tokens": completion,
               "cost_micros": cost})
    };
    assert_eq!(
        told.json["results"],
        json!([line("2026-03-01", "ada", 2, 12), line("2026-03-02", "bob", 1, 3)]),
        "{}",
        told.json
    );
    assert_eq!(
        told.json["total"],
        json!({"calls": 3, "prompt_tokens": 300, "completion_tokens": 30, "cost_micros": 15})
    );
    assert!(told.json.get("budget").is_none(), "nothing is bounded here");
    let key = format!("Bearer {ADMIN_KEY}");
    let other = client.get(march, &[("authorization", &key), ("tessera-workspace", "globex")]).await;
    assert_eq!(other.json["total"]["cost_micros"], 1_000);
    assert_eq!(client.get_as("bob", march).await.code(), "forbidden");
    for wrong in ["from=2026-03-02&to=2026-03-01", "from=2024-01-01&to=2026-03-01", "from=yesterday"] {
        let reply = client.get(&format!("/v1/usage?{wrong}"), &[("authorization", &admin)]).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, "invalid_request"), "{wrong}");
    }
}

#[tokio::test]
async fn budgets_are_told_with_what_was_taken_today_and_this_month() {
    let budgets = BudgetConfig { workspace_tokens_per_month: 5_000, ..BudgetConfig::default() };
    let client = Client::spending(budgets);
    let now = jiff::Timestamp::now().to_string();
    client.ledger.record(&entry(&now, "acme", "ada", 7));
    client.ledger.record(&entry(&now, "globex", "eve", 7));
    let admin = format!("Bearer {}", token("acme", "bob", "admin"));
    let told = client.get("/v1/usage?from=2026-03-01&to=2026-03-31", &[("authorization", &admin)]).await;
    assert_eq!(told.json["budget"], json!({"month": {"tokens_max": 5_000, "tokens": 110}}), "{}", told.json);
}
