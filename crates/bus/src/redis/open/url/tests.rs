use super::*;

fn read(text: &str) -> Url {
    Url::read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn host(name: &str, port: u16) -> Host {
    Host { name: name.to_owned(), port }
}

#[test]
fn a_redis_alone() {
    let url = read("redis://ada:p%40ss%2F@h:7000/3");
    assert_eq!((url.user.as_deref(), url.password.as_deref(), url.db), (Some("ada"), Some("p@ss/"), 3));
    assert_eq!((url.hosts, url.shape), (vec![host("h", 7000)], Shape::One));
    for alone in ["redis://ada@h", "redis+unix:///s?user=ada"] {
        let url = read(alone);
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("ada"), Some("")), "{alone}");
    }
    let url = read("redis://:only@[::1]");
    assert_eq!((url.user, url.password.as_deref()), (None, Some("only")));
    assert_eq!(url.hosts, [host("::1", 6379)]);
    assert!(url.tls.is_none());
    assert_eq!(read("valkeys://h/").hosts, [host("h", 6379)]);
    assert!(read("rediss://h#insecure").tls.unwrap().is_insecure);
    assert_eq!(read("redis://u:a@b@h").password.as_deref(), Some("a@b"));
}

#[test]
fn several_hosts() {
    let url = read("redis+cluster://u:p@a:1,b,[::1]:2");
    assert_eq!((url.hosts, url.shape), (vec![host("a", 1), host("b", 6379), host("::1", 2)], Shape::Cluster));
    let url = read("rediss+sentinel://:p@a,b:5/my%20master/2?sentinel_user=s&sentinel_password=t");
    assert_eq!((url.hosts.clone(), url.db, url.tls.is_some()), (vec![host("a", 26379), host("b", 5)], 2, true));
    for (url, has_tls) in
        [("redis+sentinel://a/m", false), ("valkeys+sentinel://a/m", true), ("redis+cluster://a", false)]
    {
        assert_eq!(read(url).tls.is_some(), has_tls, "{url}");
    }
    let [user, password] = ["s", "t"].map(|text| Some(text.to_owned()));
    assert_eq!(url.shape, Shape::Sentinel { master: "my master".to_owned(), user, password });
}

#[test]
fn a_socket_of_the_file_system() {
    let url = read("redis+unix:///run/redis.sock?db=1&user=u&pass=p%26");
    assert_eq!(url.shape, Shape::Unix("/run/redis.sock".into()));
    assert_eq!((url.db, url.user.as_deref(), url.password.as_deref()), (1, Some("u"), Some("p&")));
}

#[test]
fn secrets_are_never_shown() {
    let secret = "hunter2";
    for url in [
        "redis://u:hunter2@h",
        "redis+cluster://u:hunter2@h,i",
        "redis+sentinel://u:hunter2@h/m?sentinel_password=hunter2",
        "redis+unix:///s?pass=hunter2",
    ] {
        assert!(!read(url).to_string().contains(secret), "{url}");
        assert!(!format!("{:?}", super::super::Address::parse(url).unwrap()).contains(secret), "{url}");
    }
    for url in [
        "u:hunter2@h",
        "hunter2://h",
        "redis://u:hunter2",
        "redis://u:hunter2/x@h",
        "redis://u:x#hunter2@h",
        "redis://u:hunter2%@h",
        "redis://u:hunter2@h:port",
        "redis://u:hunter2@h/db",
        "redis://u:hunter2@h,i",
        "redis+sentinel://u:hunter2@h",
        "redis+unix://u:hunter2/s",
    ] {
        let error = Url::read(url).map(|_| ()).unwrap_err().to_string();
        assert!(!error.contains(secret), "{url}: {error}");
    }
}

#[test]
fn an_error_says_what_would_be_right() {
    for (url, right) in [
        ("127.0.0.1:6379", "redis://"),
        ("http://h", "redis://"),
        ("redis://", "redis://host:6379"),
        ("redis://h:x", "1 to 65535"),
        ("redis://h:0", "1 to 65535"),
        ("redis://a,b", "redis+cluster://"),
        ("redis://h/x", "redis://host:6379/0"),
        ("redis://h?ca=/x", "rediss"),
        ("redis://h#insecure", "rediss"),
        ("rediss://h#nothing", "#insecure"),
        ("rediss://h?cert=/dev/null", "belong together"),
        ("rediss://h?ca=/nowhere/at/all", "/nowhere/at/all"),
        ("redis://h?timeout=3", "ca, cert and key"),
        ("redis+cluster://h/1", "only 0"),
        ("redis+sentinel://h", "/mymaster"),
        ("redis+unix://h", "three slashes"),
        ("redis://u:%zz@h", "%25"),
        ("redis://u:a/b@h", "%2F"),
        ("redis://[::1", "[::1]:6379"),
    ] {
        let error = Url::read(url).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(right), "{url}: {error}");
    }
}
