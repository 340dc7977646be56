//! End-to-end suites only; see `e2e/`.
