import Harness
import Testing
import Time

/// What programs that others wrote see, byte for byte and number for number. That each of them has the whole answer in
/// each mode is shown by the tests of the running program.
@Suite(.serialized) enum RealClients {}

/// What the backend sends.
enum Sample {
  /// Events after the completion: the ones that get lost.
  static let stream = Script([
    .head(), .event("token", "{\"n\":1}"), .pause(.milliseconds(30)), .event("token", "{\"n\":2}"),
    .event("token", "zwei\nlines, ünd more"), .event("complete", "{\"type\":\"complete\"}"), .pause(.milliseconds(30)),
    .event("trailing", "1"), .event("trailing", "2"), .end,
  ])
}
