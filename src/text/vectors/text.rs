//! A word and its numbers in a line, or in f32 behind it.

use std::io::{BufRead, Read};

use super::Collector;

/// The most numbers of a vector that anything would have.
const MOST: usize = 1 << 16;

/// Reads lines.
pub(super) fn read(mut file: impl BufRead, collector: &mut Collector) -> Result<(), String> {
    let (mut bytes, mut number, mut dimensions) = (vec![], 0, None);
    loop {
        bytes.clear();
        if file.read_until(b'\n', &mut bytes).map_err(|error| format!("cannot be read: {error}"))? == 0 {
            return Ok(());
        }
        number += 1;
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let fields = line.split(' ').count();
        if number == 1 && fields == 2 && line.split(' ').all(|field| field.parse::<u64>().is_ok()) {
            continue; // how many words, and how many numbers for each
        }
        let dimensions = *dimensions.get_or_insert(fields.saturating_sub(1));
        if dimensions == 0 || fields <= dimensions {
            return Err(format!("line {number} has {fields} fields; expected a word and its numbers, apart by spaces"));
        }
        // a word may have spaces in it
        let at = line.rmatch_indices(' ').nth(dimensions - 1).map_or(0, |(at, _)| at);
        let word = &line[..at];
        if let Some(key) = collector.wants(word) {
            let vector: Result<Vec<f32>, _> = line[at + 1..].split(' ').map(str::parse).collect();
            let vector = vector.map_err(|_| format!("line {number} has what is no number behind {word}"))?;
            collector.take(word, key, vector);
        }
    }
}

/// Reads word2vec's binary form: `words numbers\n`, then for each word its letters, a space, and f32 in little-endian order.
pub(super) fn read_binary(mut file: impl BufRead, collector: &mut Collector) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("ends too early: {error}");
    let mut head = String::new();
    file.by_ref().take(100).read_line(&mut head).map_err(|_| "is no word2vec file".to_string())?;
    let counts: Vec<usize> = head.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let &[words, dimensions @ 1..=MOST] = counts.as_slice() else {
        return Err("is no word2vec file: its first line should be how many words and how many numbers it has".into());
    };
    let (mut word, mut numbers) = (vec![], vec![0; 4 * dimensions]);
    for _ in 0..words {
        word.clear();
        file.by_ref().take(1 << 16).read_until(b' ', &mut word).map_err(unreadable)?;
        if word.pop() != Some(b' ') {
            return Err("ends too early, in the middle of a word".into());
        }
        file.read_exact(&mut numbers).map_err(unreadable)?;
        // some writers end each word with a new line
        let word = String::from_utf8_lossy(&word);
        let word = word.trim_start_matches('\n');
        if let Some(key) = collector.wants(word) {
            let vector =
                numbers.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect();
            collector.take(word, key, vector);
        }
    }
    Ok(())
}
