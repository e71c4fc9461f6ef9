//! What is done to JPEG files apart from decoding them as a whole: finding out whether one is all there, and decoding a
//! region of a large one in a smaller size.
//!
//! The decoder fills the missing part of a truncated file with grey without a word. A set of photographs that was
//! copied onto a full disk would so be trained on, half of it grey.

mod header;
mod huffman;
mod scaled;
#[cfg(test)]
#[path = "jpeg/tests.rs"]
mod scaled_tests;

pub(super) use scaled::decode as decode_scaled;

const END_OF_IMAGE: u8 = 0xd9;

/// Whether `bytes`, which begin as a JPEG file does, reach the end-of-image marker: the test that libjpeg makes too.
///
/// Walks from marker to marker, so the end of a preview inside a segment does not count. What follows the end, as some
/// telephones write a video there, does not matter.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    // Nearly every file ends so. One cut right behind its preview does too, but has no scan for the decoder to find.
    if bytes.ends_with(&[0xff, END_OF_IMAGE]) {
        return true;
    }
    let mut at = 2;
    loop {
        let Some(skipped) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) else {
            return false;
        };
        at += skipped + 1;
        match bytes.get(at) {
            None => return false,
            Some(&END_OF_IMAGE) => return true,
            // A fill byte: the next one may be the marker's code.
            Some(0xff) => {}
            // Without a length: a stuffed zero within a scan, a restart, a temporary marker.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(length) => at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2),
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    /// A file with a preview in a segment, a scan with a stuffed 0xff and a restart, and the end.
    const WHOLE: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9, 0xff, 0xff, 0xda, 0, 3, 7, 1, 2, 0xff, 0, 3, 0xff, 0xd0,
        4, 0xff, 0xd9,
    ];

    #[test]
    fn every_cut_is_noticed_but_one_that_the_decoder_finds() {
        assert!(is_complete(WHOLE));
        let behind_the_preview = 10;
        for cut in 2..WHOLE.len() {
            assert_eq!(is_complete(&WHOLE[..cut]), cut == behind_the_preview, "cut at {cut}");
        }
    }

    #[test]
    fn what_follows_the_end_does_not_matter() {
        assert!(is_complete(&[WHOLE, b"a video"].concat()));
        assert!(!is_complete(&[&WHOLE[..WHOLE.len() - 2], b"zeros\0\0\0"].concat()));
    }
}
