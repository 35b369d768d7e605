//! Answers that are kept: given again where they would be made of the same, and to nobody else.

use std::sync::Arc;

use models::generate::Request;
use query::config::Config;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::harness::{ADMIN_KEY, Client, PageSpec, acme};
use super::scripted::{Script, Scripted, pieces};

/// A model that says which page each source is of, and counts its answers.
fn model() -> Arc<Scripted<impl Fn(&Request) -> Script + Send + Sync + 'static>> {
    Arc::new(Scripted::new(|request: &Request| {
        let told = &request.messages.last().unwrap().text;
        let sources: Vec<&str> = told.split("<source id=").skip(1).collect();
        let say = |(at, source): (usize, &&str)| {
            let body = source.split("Title: ").nth(1).unwrap().split("\n</source>").next().unwrap();
            format!("{} [{}]. ", body.replace('\n', ". "), at + 1)
        };
        Script::Writes(pieces(&sources.iter().enumerate().map(say).collect::<String>()))
    }))
}

async fn asks(client: &Client, user: &str, question: &str) -> Value {
    let reply = client.answer_as(user, json!({"question": question})).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    reply.json
}

const QUESTION: &str = "How do we deploy?";

#[tokio::test]
async fn the_same_question_of_the_same_sources_takes_no_model_again() {
    let model = model();
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let first = asks(&client, "bob", QUESTION).await;
    assert_eq!((first["cached"].as_bool(), first["usage"]["cost_micros"].as_u64()), (None, Some(7)));
    let mut again = asks(&client, "bob", " how do WE  deploy ").await;
    assert_eq!(again["cached"], true, "{again}");
    assert_eq!((&again["usage"]["cost_micros"], &again["model"]), (&json!(0), &json!("scripted")));
    for field in ["took_ms", "cached", "usage"] {
        again[field] = first[field].clone();
    }
    assert_eq!(again["answer"], first["answer"]);
    assert_eq!((&again["citations"], &again["sentences"]), (&first["citations"], &first["sentences"]));
    assert_eq!(model.told().len(), 1);
    let stream = client.answer_as("bob", json!({"question": QUESTION, "stream": true})).await.events();
    let (name, done) = stream.last().unwrap();
    assert_eq!((name.as_str(), &done["cached"]), ("done", &json!(true)));
    let other = client.answer_as("bob", json!({"question": QUESTION, "length": "long"})).await.json;
    assert!(other["cached"].is_null() && model.told().len() == 2);
    assert!(client.answer_as("bob", json!({"question": QUESTION, "extractive": true})).await.json["cached"].is_null());
    // Someone who may see nothing.
    assert_eq!(client.answer_as("nobody", json!({"question": QUESTION})).await.json["not_found"], true);
    let counted = client.get("/metrics", &[("authorization", &format!("Bearer {ADMIN_KEY}"))]).await;
    let counted = String::from_utf8(counted.body.to_vec()).unwrap();
    for line in [
        "tessera_query_answers_begun_total 6",
        r#"tessera_query_answers_total{kind="model"} 2"#,
        r#"tessera_query_answers_total{kind="cached"} 2"#,
        r#"tessera_query_answers_total{kind="extractive"} 1"#,
        r#"tessera_query_answers_total{kind="not_found"} 1"#,
        // It is kept for whoever comes back.
        "tessera_query_answer_streams 1",
    ] {
        assert!(counted.lines().any(|other| other == line), "{line}: {counted}");
    }
}

#[tokio::test]
async fn who_has_no_tokens_left_is_told_what_takes_none() {
    let model = model();
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let first = asks(&client, "bob", QUESTION).await;
    model.grow_dear();
    let again = asks(&client, "bob", QUESTION).await;
    assert_eq!((&again["cached"], &again["answer"]), (&json!(true), &first["answer"]));
    let stream = client.answer_as("bob", json!({"question": QUESTION, "stream": true})).await.events();
    let names: Vec<&str> = stream.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names[0], names[1], *names.last().unwrap()), ("sources", "delta", "done"), "{names:?}");
    assert_eq!(stream.iter().filter(|(name, _)| name == "sources").count(), 1);
    for other in
        [json!({"question": QUESTION, "length": "long"}), json!({"question": "How long does a rollback take?"})]
    {
        let reply = client.answer_as("bob", other.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (429, "budget_exhausted"), "{other}: {}", reply.json);
    }
    assert_eq!(model.told().len(), 1);
}

#[tokio::test]
async fn who_can_see_more_or_less_is_answered_anew() {
    let model = model();
    let client = Client::writing(acme(), Config::default(), Some(model.clone()));
    let ada = asks(&client, "ada", QUESTION).await;
    assert!(ada["answer"].as_str().unwrap().contains("lanternfish"), "{ada}");
    let bob = asks(&client, "bob", QUESTION).await;
    assert!(bob["cached"].is_null() && !bob.to_string().contains("lanternfish"), "{bob}");
    let ada = asks(&client, "ada", QUESTION).await;
    assert!(ada["cached"] == true && ada["answer"].as_str().unwrap().contains("lanternfish"), "{ada}");
    assert_eq!(model.told().len(), 2);
}

#[tokio::test]
async fn a_source_that_changes_makes_another_answer() {
    let model = model();
    let mut client = Client::writing(acme(), Config::default(), Some(model.clone()));
    asks(&client, "bob", QUESTION).await;
    let text = &["Deploy the telescope service by hand."];
    let runbook = PageSpec { title: "Deploy runbook", text, parent: Some("engineering"), ..PageSpec::default() };
    client.content.page("acme", "runbook", runbook);
    client.content.commit();
    let changed = asks(&client, "bob", QUESTION).await;
    assert!(changed["cached"].is_null() && changed["answer"].as_str().unwrap().contains("by hand"), "{changed}");
    assert!(!changed.to_string().contains("blue green"), "{changed}");
}

#[tokio::test]
async fn what_was_erased_is_kept_no_longer() {
    let model = model();
    let mut client = Client::writing(acme(), Config::default(), Some(model));
    asks(&client, "bob", QUESTION).await;
    asks(&client, "ada", QUESTION).await;
    let engine = client.engine.clone();
    engine.sweep_answers();
    assert_eq!(engine.kept_answers().0, 2);
    client.content.erase_member("acme", "ada");
    engine.sweep_answers();
    assert_eq!(engine.kept_answers().0, 1, "what was made for ada goes");
    client.content.index().catalog().get(&"acme".parse().unwrap()).unwrap().write().erase();
    engine.sweep_answers();
    assert_eq!(engine.kept_answers(), (0, 0));
}

/// Whoever asks, in whatever order access changes: a kept answer says nothing of a page that its reader may not see, by an oracle
/// that is the access graph itself.
#[tokio::test]
async fn kept_answers_tell_nobody_of_what_they_may_not_see() {
    const USERS: [&str; 3] = ["ada", "bob", "gus"];
    const PAGES: [(&str, &str); 4] = [("p0", "quarkaa"), ("p1", "quarkbb"), ("p2", "quarkcc"), ("p3", "quarkdd")];
    const GRANTS: [&[&str]; 5] =
        [&["workspace:view"], &["user:ada:view"], &["user:bob:view", "user:gus:view"], &["user:gus:full"], &[]];
    let (mut hits, mut asked) = (0, 0);
    for seed in 0..6 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let model = model();
        let mut client = Client::writing(acme(), Config::default(), Some(model));
        let mut grants = [0; PAGES.len()];
        for step in 0..60 {
            if step % 12 == 0 {
                for (at, (page, word)) in
                    PAGES.iter().enumerate().filter(|_| step == 0 || rng.random_bool(0.3)).collect::<Vec<_>>()
                {
                    grants[at] = rng.random_range(0..GRANTS.len());
                    let said: &'static str = String::leak(format!("The telescope is coated with {word}."));
                    let text: &'static [&'static str] = Vec::leak(vec![said]);
                    let spec = PageSpec {
                        title: "Coating",
                        text,
                        grants: GRANTS[grants[at]],
                        restricted: true,
                        ..PageSpec::default()
                    };
                    client.content.page("acme", page, spec);
                }
                client.content.commit();
            }
            let user = *USERS.choose(&mut rng).unwrap();
            let question =
                *["What is the telescope coated with?", "telescope coated with what"].choose(&mut rng).unwrap();
            let answer = asks(&client, user, question).await;
            asked += 1;
            hits += usize::from(answer["cached"] == true);
            for (at, (page, word)) in PAGES.iter().enumerate() {
                let granted = GRANTS[grants[at]];
                let is_member = user != "gus";
                let sees = granted.iter().any(|grant| {
                    grant.starts_with(&format!("user:{user}:")) || *grant == "workspace:view" && is_member
                });
                let said = answer.to_string();
                assert!(
                    sees || !said.contains(word) && !said.contains(&format!("\"{page}\"")),
                    "seed {seed}, step {step}: {user} was told of {page}: {said}"
                );
            }
        }
    }
    assert!(hits * 10 > asked, "kept answers were used in {hits} of {asked}");
}
