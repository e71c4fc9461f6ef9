//! How much memory a file may make us ask for: about twice its own size, whatever it claims.

use super::pickle::Parse;

/// What a file may take beyond twice its size, so that a small one may hold many small objects or an expanded view.
const SPARE: u64 = 1 << 25;

/// How many bytes may still be allocated for a file.
#[derive(Debug, Default)]
pub(super) struct Budget {
    left: u64,
    file: u64,
}

impl Budget {
    /// Twice what the file takes on disk, and a little to begin with.
    pub fn of(file: u64) -> Self {
        Self { left: file.saturating_mul(2).saturating_add(SPARE), file }
    }

    /// Fails where the file wants more memory than its size can justify.
    pub fn take(&mut self, bytes: u64) -> Parse<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let file = self.file;
            format!("unpacks to over twice its {file} bytes: refused as a decompression bomb; re-save only its tensors")
        })?;
        Ok(())
    }

    /// Gives back what was taken for something that is gone.
    pub fn give_back(&mut self, bytes: u64) {
        self.left = self.left.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_twice_its_size_and_no_more() {
        let mut budget = Budget::of(10);
        budget.take(SPARE + 20).unwrap();
        assert!(budget.take(1).unwrap_err().contains("over twice its 10 bytes"));
        budget.give_back(1);
        budget.take(1).unwrap();
    }
}
