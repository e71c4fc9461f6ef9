//! The cache against a server on this machine that breaks off, lies, and has nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;

/// The weights that the server has: 200 kB that do not repeat.
fn weights() -> Vec<u8> {
    (0..50_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// How the server answers one request for `weights`, of which `from` bytes are there already.
type Answer = fn(&mut TcpStream, from: usize, weights: &[u8]);

fn whole(stream: &mut TcpStream, _from: usize, weights: &[u8]) {
    head(stream, "200 OK", weights.len());
    stream.write_all(weights).unwrap();
}

fn rest(stream: &mut TcpStream, from: usize, weights: &[u8]) {
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    head(stream, status, weights.len() - from);
    stream.write_all(&weights[from..]).unwrap();
}

fn half(stream: &mut TcpStream, _from: usize, weights: &[u8]) {
    head(stream, "200 OK", weights.len());
    stream.write_all(&weights[..weights.len() / 2]).unwrap();
}

fn other(stream: &mut TcpStream, _from: usize, _weights: &[u8]) {
    head(stream, "200 OK", 5);
    stream.write_all(b"other").unwrap();
}

fn nothing(stream: &mut TcpStream, _from: usize, _weights: &[u8]) {
    head(stream, "404 Not Found", 0);
}

fn beyond_the_end(stream: &mut TcpStream, _from: usize, _weights: &[u8]) {
    head(stream, "416 Range Not Satisfiable", 0);
}

fn head(stream: &mut TcpStream, status: &str, length: usize) {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
}

/// A server that gives one answer per connection, and what each request asked to start from.
fn serve(answers: Vec<Answer>) -> (String, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/models/net.pth", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(vec![]));
    let log = asked.clone();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
            let from = head.iter().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
            log.lock().unwrap().push(from.unwrap_or(0));
            answer(&mut stream, from.unwrap_or(0), &weights());
        }
    });
    (url, asked)
}

/// A cache in a new folder, and a model whose weights the server has.
fn model_at(url: &str, sha256: Option<&str>) -> (tempfile::TempDir, Cache, SourceModel) {
    let folder = tempfile::tempdir().unwrap();
    let sum: String = Sha256::digest(weights()).iter().map(|byte| format!("{byte:02x}")).collect();
    let model = SourceModel {
        origin: Some(Origin::Url { url: url.to_string() }),
        sha256: Some(sha256.map_or(sum, str::to_string)),
        ..registry::find("resnet18").unwrap().clone()
    };
    let cache = Cache::at(folder.path().join("weights"));
    (folder, cache, model)
}

#[test]
fn a_file_is_fetched_once_and_progress_reaches_its_end() {
    let (url, asked) = serve(vec![whole]);
    let (_folder, cache, model) = model_at(&url, None);
    assert_eq!(cache.locate(&model), None);
    let mut heard = vec![];
    let file = cache.fetch(&model, &mut |done, total| heard.push((done, total))).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), weights());
    assert_eq!((heard[0], heard[heard.len() - 1]), ((0, Some(200_000)), (200_000, Some(200_000))));
    assert_eq!(cache.locate(&model).as_ref(), Some(&file));
    assert_eq!(cache.fetch(&model, &mut |_, _| ()).unwrap(), file); // the server would not answer again
    assert_eq!(*asked.lock().unwrap(), [0]);
}

#[test]
fn a_connection_that_breaks_is_made_again_from_there() {
    let (url, asked) = serve(vec![half, rest]);
    let (_folder, cache, model) = model_at(&url, None);
    let file = cache.fetch(&model, &mut |_, _| ()).unwrap();
    assert_eq!(std::fs::read(file).unwrap(), weights());
    assert_eq!(*asked.lock().unwrap(), [0, 100_000]);
}

#[test]
fn a_part_of_an_earlier_run_is_used_or_else_replaced() {
    type Case = (Vec<u8>, Vec<Answer>, Vec<usize>);
    let cases: [Case; 4] = [
        (weights()[..7].to_vec(), vec![rest], vec![7]),
        (weights()[..7].to_vec(), vec![whole], vec![7]), // the server knows no ranges
        (b"damaged".to_vec(), vec![rest, rest], vec![7, 0]),
        (weights(), vec![beyond_the_end], vec![200_000]),
    ];
    for (part, answers, expected) in cases {
        let (url, asked) = serve(answers);
        let (_folder, cache, model) = model_at(&url, None);
        std::fs::create_dir_all(cache.folder()).unwrap();
        std::fs::write(cache.folder().join("net.pth.part"), part).unwrap();
        let file = cache.fetch(&model, &mut |_, _| ()).unwrap();
        assert_eq!(std::fs::read(file).unwrap(), weights());
        assert_eq!(*asked.lock().unwrap(), expected);
    }
}

#[test]
fn a_wrong_checksum_is_said_and_leaves_nothing_behind() {
    let (url, _) = serve(vec![other]);
    let (_folder, cache, model) = model_at(&url, None);
    let message = cache.fetch(&model, &mut |_, _| ()).unwrap_err().to_string();
    assert!(message.contains("SHA-256") && message.contains(&url), "{message}");
    assert_eq!(std::fs::read_dir(cache.folder()).unwrap().count(), 0);
}

#[test]
fn a_missing_file_and_a_missing_server_name_the_address_and_the_ways_out() {
    let (gone, _) = serve(vec![nothing]);
    let closed = format!("http://{}/net.pth", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for (url, reason) in [(gone, "404"), (closed, "refused")] {
        let (_folder, cache, model) = model_at(&url, None);
        let message = cache.fetch(&model, &mut |_, _| ()).unwrap_err().to_string();
        for expected in [url.as_str(), reason, "--weights FILE", "net.pth"] {
            assert!(message.to_lowercase().contains(&expected.to_lowercase()), "{expected}: {message}");
        }
    }
}

#[test]
fn a_file_that_changed_in_the_cache_is_not_trusted() {
    let (url, _) = serve(vec![whole]);
    let (_folder, cache, model) = model_at(&url, None);
    let file = cache.fetch(&model, &mut |_, _| ()).unwrap();
    std::fs::write(&file, "damaged").unwrap();
    assert_eq!(cache.locate(&model), None);
}

#[test]
fn the_first_digits_of_a_checksum_are_enough_and_none_are_not() {
    let sum: String = Sha256::digest(weights()).iter().map(|byte| format!("{byte:02x}")).collect();
    for (expected, found) in [(&sum[..8], true), ("", false), ("00000000", false)] {
        let (_folder, cache, model) = model_at("http://localhost/net.pth", Some(expected));
        std::fs::create_dir_all(cache.folder()).unwrap();
        std::fs::write(cache.folder().join("net.pth"), weights()).unwrap();
        assert_eq!(cache.locate(&model).is_some(), found, "{expected}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let (folder, _, model) = model_at("http://localhost/net.pth", None);
    std::fs::write(folder.path().join("file"), "").unwrap();
    let cache = Cache::at(folder.path().join("file/weights"));
    assert_eq!(cache.locate(&model), None);
    let message = cache.fetch(&model, &mut |_, _| ()).unwrap_err().to_string();
    assert!(message.contains("file/weights"), "{message}");
}

#[test]
fn the_folder_follows_the_three_variables_in_order() {
    let with = |set: &[(&str, &str)]| {
        folder_by(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
    };
    let all = [("REGRAFT_CACHE", "/r"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
    assert_eq!(with(&all), Some("/r".into()));
    assert_eq!(with(&all[1..]), Some("/x/regraft/weights".into()));
    assert_eq!(with(&all[2..]), Some("/h/.cache/regraft/weights".into()));
    assert_eq!(with(&[]), None);
}
