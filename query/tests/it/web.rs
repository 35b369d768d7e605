//! The page at `/`: that all of it is served, that it keeps to itself, and what it is told of the caller.

use serde_json::json;

use super::harness::{Client, SEARCH_KEY, token};

/// Addresses that a file of the page names: `/ui/…` in markup, `./…` in imports.
fn named_in(text: &str) -> Vec<String> {
    let quoted = text.split('"').filter_map(|part| {
        let file = part.strip_prefix("/ui/").or_else(|| part.strip_prefix("./"))?;
        Some(format!("/ui/{file}"))
    });
    quoted.collect()
}

#[tokio::test]
async fn every_file_that_the_page_names_is_served_and_nothing_else_is_asked_for() {
    let client = Client::new();
    let mut open = vec!["/".to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = open.pop() {
        let reply = client.get(&path, &[]).await;
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        let text = std::str::from_utf8(&reply.body).unwrap();
        assert!(!text.contains("innerHTML") && !text.contains("<script>") && !text.contains(" style="), "{path}");
        let foreign = text.replace("http://www.w3.org/2000/svg", "").contains("http://");
        assert!(!foreign, "{path} names another server");
        for next in named_in(text) {
            if !seen.contains(&next) {
                seen.push(next.clone());
                open.push(next);
            }
        }
    }
    for file in ["/ui/main.js", "/ui/search.js", "/ui/style.css"] {
        assert!(seen.iter().any(|path| path == file), "{file} is not reached from the page: {seen:?}");
    }
}

#[tokio::test]
async fn a_file_that_did_not_change_is_not_sent_again() {
    let client = Client::new();
    let tag = client.get("/ui/main.js", &[]).await.headers["etag"].to_str().unwrap().to_owned();
    let again = client.get("/ui/main.js", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(client.get("/ui/main.js", &[("if-none-match", "\"other\"")]).await.status, 200);
}

#[tokio::test]
async fn a_session_says_who_the_caller_is_and_nothing_of_others() {
    let client = Client::new();
    let session = async |headers: &[(&str, &str)]| {
        let mut json = client.get("/v1/session", headers).await.json;
        json.as_object_mut().unwrap().remove("request_id");
        json
    };
    let nobody = json!({"development": false, "administrator": false, "conversations": true});
    assert_eq!(session(&[]).await, nobody);
    // Headers that only insecure development believes name nobody here.
    assert_eq!(session(&[("tessera-workspace", "acme"), ("tessera-user", "ada")]).await, nobody);
    let mut bob = nobody.clone();
    (bob["workspace"], bob["user"]) = (json!("acme"), json!("bob"));
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(session(&[("authorization", &bearer(&token("acme", "bob", "")))]).await, bob);
    let key = bearer(SEARCH_KEY);
    assert_eq!(session(&[("authorization", &key)]).await, nobody);
    let named = [("authorization", key.as_str()), ("tessera-workspace", "acme"), ("tessera-act-as", "bob")];
    assert_eq!(session(&named).await, bob);
}

#[tokio::test]
async fn in_insecure_development_people_can_be_picked_from() {
    let client = Client::insecure();
    let reply = client.get("/v1/session", &[("host", "localhost")]).await;
    let people = json!([
        {"workspace": "acme", "user": "ada", "role": "member"},
        {"workspace": "acme", "user": "bob", "role": "member"},
        {"workspace": "acme", "user": "gus", "role": "guest"},
        {"workspace": "globex", "user": "eve", "role": "member"},
    ]);
    assert_eq!(reply.json["people"], people, "{}", reply.json);
    assert_eq!((&reply.json["development"], &reply.json["administrator"]), (&json!(true), &json!(true)));
}
