//! Erasures over HTTP: who may ask for one, and who is told of it.

use axum::body::Body;
use axum::http::Request;
use query::audit::act::{Actor, Kind};
use query::audit::verify::{Filter, show};
use schemas::ids::UserId;

use super::harness::{ACME_ADMIN_KEY, ADMIN_KEY, Client, Reply, token};

async fn send(client: &Client, method: &str, path: &str, bearer: &str, workspace: &str) -> Reply {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {bearer}"));
    let request = if workspace.is_empty() { request } else { request.header("tessera-workspace", workspace) };
    client.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_administrator_begins_an_erasure_and_is_told_how_far_it_is() {
    let client = Client::new();
    let admin = token("acme", "ada", "admin");
    let begun = send(&client, "DELETE", "/v1/pages/plan", &admin, "").await;
    assert_eq!(begun.status, 202, "{}", begun.json);
    assert_eq!((begun.json["object"].as_str(), begun.json["kind"].as_str()), (Some("erasure"), Some("page")));
    let location = begun.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("/v1/erasures/{}", begun.json["id"].as_str().unwrap()));
    assert!(client.erasures.settle(std::time::Duration::from_mins(1)));
    let done = send(&client, "GET", &location, &admin, "").await;
    assert_eq!((done.json["status"].as_str(), done.json["receipt"]["subject"].as_str()), (Some("done"), Some("plan")));
    let again = send(&client, "DELETE", "/v1/pages/plan", &admin, "").await;
    assert_eq!(again.json["id"], done.json["id"], "asking twice does it once");
    // Those who may administer all workspaces, or that one, are told; others do not learn that there is one.
    assert_eq!(send(&client, "GET", &location, ADMIN_KEY, "").await.status, 200);
    assert_eq!(send(&client, "GET", &location, ACME_ADMIN_KEY, "acme").await.status, 200);
    let stranger = token("globex", "eve", "admin");
    let unseen = send(&client, "GET", &location, &stranger, "").await;
    let absent = send(&client, "GET", "/v1/erasures/0000", &stranger, "").await;
    assert_eq!((unseen.status.as_u16(), absent.status.as_u16()), (404, 404));
    assert_eq!(send(&client, "GET", &location, &token("acme", "ada", ""), "").await.status, 403);
    let filter = Filter { kind: Some(Kind::ErasureRequested), ..Filter::default() };
    let lines = show(client.audit.dir(), &filter, 9).unwrap();
    assert_eq!(lines.len(), 2, "who asked again is told, too");
    for (line, again) in lines.iter().zip([None, Some("true")]) {
        let notes = &line.what.as_ref().unwrap().notes;
        assert_eq!(line.who.as_ref().unwrap().actor, Actor::Person { user: UserId::new("ada").unwrap() });
        assert_eq!(notes["erasure"], done.json["id"].as_str().unwrap());
        assert_eq!(notes.get("again").map(String::as_str), again, "the second request began nothing");
    }
}

#[tokio::test]
async fn a_workspace_is_erased_by_those_who_may_administer_it_alone() {
    let client = Client::new();
    for (bearer, path, status) in [
        (token("acme", "ada", "admin"), "/v1/workspaces/globex", 403),
        (ACME_ADMIN_KEY.to_owned(), "/v1/workspaces/globex", 403),
        (token("globex", "eve", ""), "/v1/workspaces/globex", 403),
        (token("globex", "eve", "admin"), "/v1/workspaces/globex", 202),
        (ADMIN_KEY.to_owned(), "/v1/workspaces/acme", 202),
        (ADMIN_KEY.to_owned(), "/v1/workspaces/x%20y", 404),
        (ADMIN_KEY.to_owned(), "/v1/users/ada", 400),
    ] {
        assert_eq!(send(&client, "DELETE", path, &bearer, "").await.status, status, "{path}");
    }
    let user = send(&client, "DELETE", "/v1/users/ada", ADMIN_KEY, "acme").await;
    assert_eq!((user.status.as_u16(), user.json["workspace"].as_str()), (202, Some("acme")));
}
