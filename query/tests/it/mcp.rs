//! `/mcp`: what assistants are offered, what they get, and what they do not.

use query::config::Config;
use query::http::HttpConfig;
use serde_json::{Value, json};

use super::harness::{Client, PageSpec, Reply, acme};

fn result(reply: &Reply) -> &Value {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    &reply.json["result"]
}

#[tokio::test]
async fn an_assistant_is_offered_two_tools_that_read_alone() {
    let client = Client::new();
    let hello =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    let reply = client.mcp_as("bob", "initialize", hello).await;
    let offered = result(&reply);
    assert_eq!(
        (&offered["serverInfo"]["name"], &offered["protocolVersion"]),
        (&json!("tessera"), &json!("2025-06-18"))
    );
    assert!(offered["capabilities"]["tools"].is_object() && offered["capabilities"]["prompts"].is_null());
    let reply = client.mcp_as("bob", "tools/list", json!({})).await;
    let tools = result(&reply)["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["search", "fetch"]);
    for tool in tools {
        assert_eq!(
            (&tool["annotations"]["readOnlyHint"], &tool["annotations"]["openWorldHint"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(tool["inputSchema"]["additionalProperties"], false);
    }
}

#[tokio::test]
async fn what_is_found_can_be_fetched_in_the_shapes_that_assistants_know() {
    let config = HttpConfig { public_url: "https://search.example.com/".into(), ..HttpConfig::default() };
    let client = Client::with(config);
    let reply = client.tool_as("bob", "search", json!({"query": "rollback"})).await;
    let found = result(&reply);
    let first = &found["structuredContent"]["results"][0];
    assert_eq!((&first["id"], &first["title"]), (&json!("runbook"), &json!("Deploy runbook")));
    assert_eq!(first["url"], "https://search.example.com/#/page/runbook");
    // Clients that know no structured content read the same in the text.
    let text: Value = serde_json::from_str(found["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, found["structuredContent"]);
    let reply = client.tool_as("bob", "fetch", json!({"id": "runbook"})).await;
    let page = &result(&reply)["structuredContent"];
    assert_eq!(page["text"], "Deploy the telescope service in the blue green way.\nA rollback takes one minute.\n");
    assert_eq!((&page["metadata"]["path"], &page["metadata"]["truncated"]), (&json!(["Engineering"]), &json!(false)));
}

#[tokio::test]
async fn what_may_not_be_seen_is_what_is_not_there() {
    let client = Client::new();
    let hidden = client.tool_as("bob", "fetch", json!({"id": "secret"})).await;
    let absent = client.tool_as("bob", "fetch", json!({"id": "absent"})).await;
    assert_eq!(result(&hidden)["isError"], true);
    assert_eq!((hidden.status, &hidden.body), (absent.status, &absent.body));
    assert!(
        result(&client.tool_as("ada", "fetch", json!({"id": "secret"})).await)["structuredContent"]["text"].is_string()
    );
    let found = client.tool_as("bob", "search", json!({"query": "lanternfish"})).await;
    assert!(!result(&found).to_string().contains("anternfish"), "{}", found.json);
}

#[tokio::test]
async fn characters_that_no_reader_sees_are_not_handed_over() {
    let mut content = acme();
    let title = "Kappa\u{200b} reset\u{e0049}\u{e0067}\u{e006e}";
    let text: &[&str] = &["Press the\u{202e} red\u{200d} button.\u{e0068}\u{e0069}"];
    let root = PageSpec { grants: &["workspace:view"], ..PageSpec::default() };
    content.page("acme", "above", PageSpec { title: "Ka\u{ad}ppa", ..root });
    let planted = PageSpec { title, text, tags: &["re\u{2060}set"], parent: Some("above"), ..root };
    content.page("acme", "planted", planted);
    content.commit();
    let client = Client::writing(content, Config::default(), None);
    let found = client.tool_as("bob", "search", json!({"query": "kappa reset"})).await;
    let results = result(&found)["structuredContent"]["results"].as_array().unwrap();
    let first = results.iter().find(|result| result["id"] == "planted").unwrap();
    assert_eq!((&first["title"], &first["path"]), (&json!("Kappa reset"), &json!(["Kappa"])), "{first}");
    let page = client.tool_as("bob", "fetch", json!({"id": "planted"})).await;
    let page = &result(&page)["structuredContent"];
    assert_eq!((&page["text"], &page["metadata"]["tags"]), (&json!("Press the red button.\n"), &json!(["reset"])));
    for told in [first, page] {
        assert!(!told.to_string().chars().any(query::answer::defuse::is_hidden), "{told}");
    }
}

#[tokio::test]
async fn wrong_calls_are_told_what_is_wrong() {
    let client = Client::new();
    for (tool, arguments, told) in [
        ("search", json!({}), "query"),
        ("search", json!({"query": "x", "sort": "new"}), "sort"),
        ("fetch", json!({"id": 1}), "invalid type"),
        ("delete", json!({}), "delete"),
    ] {
        let reply = client.tool_as("bob", tool, arguments).await;
        assert_eq!(reply.json["error"]["code"], -32602, "{}", reply.json);
        assert!(reply.json["error"]["message"].as_str().unwrap().contains(told), "{}", reply.json);
    }
    let reply = client.tool_as("bob", "search", json!({"query": "x", "limit": 1000})).await;
    assert!(result(&reply)["content"][0]["text"].as_str().unwrap().contains("limit"), "{}", reply.json);
}

/// A server that is reached there, and believes tokens of others.
fn with_sign_in(public_url: &str) -> HttpConfig {
    HttpConfig {
        public_url: public_url.into(),
        authorization_servers: vec!["https://login.example.com".into()],
        ..HttpConfig::default()
    }
}

#[tokio::test]
async fn whoever_shows_nothing_is_told_where_to_sign_in() {
    let client = Client::with(with_sign_in("https://search.example.com"));
    let refused = client.post("/mcp", &[("content-type", "application/json")], "{}").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (401, "unauthenticated"));
    let challenge = refused.headers["www-authenticate"].to_str().unwrap();
    let metadata = "https://search.example.com/.well-known/oauth-protected-resource/mcp";
    assert!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
    let told = client.get("/.well-known/oauth-protected-resource/mcp", &[]).await;
    assert_eq!(told.json["resource"], "https://search.example.com/mcp");
    assert_eq!(told.json["authorization_servers"], json!(["https://login.example.com"]));
    // What is told of a resource names that one (RFC 9728, 3.3).
    let told = client.get("/.well-known/oauth-protected-resource", &[]).await;
    assert_eq!(told.json["resource"], "https://search.example.com");
    // Where nothing was configured, nothing is promised.
    let plain = Client::with(HttpConfig::default());
    assert_eq!(plain.get("/.well-known/oauth-protected-resource", &[]).await.status, 404);
}

#[tokio::test]
async fn whoever_is_signed_in_and_has_to_wait_is_not_told_to_sign_in() {
    let mut config = with_sign_in("https://search.example.com");
    (config.rate.caller_per_second, config.rate.caller_burst) = (1, 1);
    let client = Client::with(config);
    let mut replies = Vec::new();
    for _ in 0..20 {
        replies.push(client.mcp_as("bob", "tools/list", json!({})).await);
    }
    let limited = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert!(limited.headers.contains_key("retry-after"));
    assert!(!limited.headers.contains_key("www-authenticate"), "{:?}", limited.headers);
}

#[tokio::test]
async fn below_a_path_what_is_told_of_the_resource_stands_between_host_and_path() {
    let client = Client::with(with_sign_in("https://example.com/search/"));
    let refused = client.post("/mcp", &[("content-type", "application/json")], "{}").await;
    let challenge = refused.headers["www-authenticate"].to_str().unwrap();
    let path = "/.well-known/oauth-protected-resource/search/mcp";
    assert!(challenge.ends_with(&format!("resource_metadata=\"https://example.com{path}\"")), "{challenge}");
    assert_eq!(client.get(path, &[]).await.json["resource"], "https://example.com/search/mcp");
    assert_eq!(client.get("/.well-known/oauth-protected-resource", &[]).await.status, 404, "the host is not ours");
}
