//! The JSON API over real sockets.
//!
//! In → Out: HTTP requests → status codes, headers and JSON.
//! Spec: `openapi/v1.json`.

use control::Policy;

use crate::house::House;

#[test]
fn the_description_is_the_golden_file() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/v1.json");
    let now = control::api::description();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &now).unwrap();
    }
    let then = std::fs::read_to_string(golden).unwrap();
    assert!(
        now == then,
        "the API's description changed; run with UPDATE_GOLDEN=1 and review the difference"
    );
}

#[tokio::test]
async fn the_description_is_served() {
    let house = House::new(Policy::Dev).await;
    let answer = house.get("/api/v1/openapi.json").await;
    assert_eq!(answer.status, 200);
    let paths = &answer.json()["paths"];
    for path in [
        "/api/v1/broadcasts",
        "/api/v1/broadcasts/{id}",
        "/api/v1/broadcasts/{id}/ix",
        "/api/v1/broadcasts/{id}/ticket",
        "/api/v1/broadcasts/{id}/viewers",
        "/api/v1/broadcasts/{id}/ws",
        "/api/v1/time",
    ] {
        assert!(paths[path].is_object(), "{path}");
    }
}

#[tokio::test]
async fn what_is_on_air_is_listed_for_everybody_and_the_rest_for_the_operator() {
    let house = House::new(Policy::Dev).await;
    assert_eq!(
        house.get("/api/v1/broadcasts").await.json()["broadcasts"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let (idle, _) = house.create(r#"{"title":"Later"}"#).await;
    let _admission = house.knock("127.0.0.1", "now").await.unwrap();

    let answer = house.get("/api/v1/broadcasts").await;
    assert!(
        answer.head.contains("cache-control: no-store")
            && answer.head.contains("access-control-allow-origin: *"),
        "{}",
        answer.head
    );
    let listed = answer.json();
    assert_eq!(listed["broadcasts"].as_array().unwrap().len(), 1);
    let now = &listed["broadcasts"][0];
    assert_eq!(
        (
            now["id"].as_str(),
            now["state"].as_str(),
            now["viewers"].as_u64()
        ),
        (Some("now"), Some("idle"), Some(0))
    );
    assert_eq!(
        (
            now["publisher"]["protocol"].as_str(),
            now["publisher"]["connected"].as_bool()
        ),
        (Some("rtmp"), Some(true))
    );
    assert_eq!(
        (now["watch_url"].as_str(), now["playlist_url"].as_str()),
        (Some("/b/now"), Some("/live/now/index.m3u8"))
    );

    assert_eq!(
        house.get("/api/v1/broadcasts?state=all").await.code(),
        "unauthorized"
    );
    let all = house
        .admin("GET", "/api/v1/broadcasts?state=all", "")
        .await
        .json();
    let ids: Vec<_> = all["broadcasts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|broadcast| broadcast["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["now".to_owned(), idle]);
}

#[tokio::test]
async fn one_broadcast_is_shown_whether_or_not_it_is_on_air() {
    let house = House::new(Policy::Keys).await;
    let (id, _) = house
        .create(r#"{"id":"friday","title":"<b>Friday</b>"}"#)
        .await;
    let path = format!("/api/v1/broadcasts/{id}");
    let shown = house.get(&path).await.json();
    assert_eq!(
        (shown["state"].as_str(), shown["title"].as_str()),
        (Some("idle"), Some("<b>Friday</b>"))
    );
    assert!(shown["publisher"].is_null());
    assert_eq!(house.admin("DELETE", &path, "").await.status, 204);
    assert_eq!(house.get(&path).await.json()["state"], "ended");
    assert_eq!(house.admin("DELETE", &path, "").await.code(), "not_found");
    for unknown in ["nobody", "..%2f..", "a%20b", &"x".repeat(100)] {
        let answer = house.get(&format!("/api/v1/broadcasts/{unknown}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "not_found"),
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn the_publish_address_has_the_host_that_the_asker_reached() {
    let house = House::new(Policy::Keys).await;
    for (asked, told) in [
        (
            "http://live.example.org:8080",
            "rtmp://live.example.org:1935/live/",
        ),
        ("http://[2001:db8::1]", "rtmp://[2001:db8::1]:1935/live/"),
        ("", "rtmp://localhost:1935/live/"),
    ] {
        let answer = house
            .admin("POST", &format!("{asked}/api/v1/broadcasts"), "{}")
            .await;
        assert_eq!(answer.status, 201);
        let url = answer.json()["publish_url"].as_str().unwrap().to_owned();
        assert!(url.starts_with(told), "{url}");
    }
}

#[tokio::test]
async fn creating_answers_the_key_once_and_nothing_else_ever_does() {
    let house = House::new(Policy::Keys).await;
    let answer = house
        .admin(
            "POST",
            "/api/v1/broadcasts",
            r#"{"title":"  Friday show ","id":"friday"}"#,
        )
        .await;
    assert_eq!(answer.status, 201);
    let created = answer.json();
    let key = created["stream_key"].as_str().unwrap();
    assert_eq!(created["title"], "Friday show");
    assert_eq!(
        created["publish_url"],
        format!("rtmp://localhost:1935/live/{key}")
    );
    assert_eq!(created["watch_url"], "/b/friday");
    let secret = key.split_once('-').unwrap().1;
    for path in ["/api/v1/broadcasts/friday", "/api/v1/broadcasts?state=all"] {
        assert!(!house.admin("GET", path, "").await.body.contains(secret));
    }
    for file in ["nearcast.db", "nearcast.db-wal"] {
        let bytes = std::fs::read(house.data().join(file)).unwrap_or_default();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes()),
            "{file} holds the key in clear"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_a_broadcast_is_refused_with_a_reason() {
    let house = House::new(Policy::Keys).await;
    house.create(r#"{"id":"taken"}"#).await;
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(201));
    let cases = [
        (r#"{"id":"taken"}"#, 409, "conflict"),
        (r#"{"id":"a b"}"#, 400, "bad_request"),
        (r#"{"id":""}"#, 400, "bad_request"),
        (r#"{"title":"   "}"#, 400, "bad_request"),
        (r#"{"title":"a\u0000b"}"#, 400, "bad_request"),
        (long.as_str(), 400, "bad_request"),
        (r#"{"titel":"typo"}"#, 400, "bad_request"),
        ("[", 400, "bad_request"),
        ("", 400, "bad_request"),
    ];
    for (body, status, code) in cases {
        let answer = house.admin("POST", "/api/v1/broadcasts", body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    let huge = format!(r#"{{"title":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(
        house
            .admin("POST", "/api/v1/broadcasts", &huge)
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn writing_needs_the_admin_token() {
    let house = House::new(Policy::Dev).await;
    let wrong = "Authorization: Bearer wrongwrongwrong\r\n";
    for (method, path) in [
        ("POST", "/api/v1/broadcasts"),
        ("DELETE", "/api/v1/broadcasts/x"),
    ] {
        let answer = house.call(method, path, "", "{}").await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "unauthorized")
        );
        assert!(answer.head.contains("www-authenticate: bearer"));
        assert_eq!(house.call(method, path, wrong, "{}").await.status, 401);
        assert_eq!(
            house
                .call(method, path, "Authorization: Basic YTpi\r\n", "{}")
                .await
                .status,
            401
        );
    }
}

#[tokio::test]
async fn ing_21_wrong_tokens_are_limited_and_the_right_one_still_passes() {
    let house = House::new(Policy::Dev).await;
    let mut last = 0;
    for _ in 0..25 {
        last = house
            .call(
                "DELETE",
                "/api/v1/broadcasts/x",
                "Authorization: Bearer wrong\r\n",
                "",
            )
            .await
            .status;
    }
    assert_eq!(last, 429);
    assert_eq!(
        house
            .admin("DELETE", "/api/v1/broadcasts/x", "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_clock_is_exact_and_never_cached() {
    let house = House::new(Policy::Dev).await;
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
            * 1_000.0
    };
    let before = now();
    let answer = house.get("/api/v1/time").await;
    let after = now();
    let told = answer.json()["unix_ms"].as_f64().unwrap();
    assert!(
        (before - 0.01..=after + 0.01).contains(&told),
        "{before} {told} {after}"
    );
    assert!(
        answer.head.contains("cache-control: no-store")
            && answer.head.contains("access-control-allow-origin: *")
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_json_too() {
    let house = House::new(Policy::Dev).await;
    assert_eq!(house.get("/api/v1/nothing").await.code(), "not_found");
    let answer = house.call("PUT", "/api/v1/broadcasts", "", "").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (405, "method_not_allowed")
    );
}
