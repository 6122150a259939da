import FlagControl
package import Streams

/// What a close is counted under.
package struct CloseLabel {
  package let mode: Mode
  /// The arm that the guard counts the close in; `nil`: it does not.
  let cohort: Cohort?
}
