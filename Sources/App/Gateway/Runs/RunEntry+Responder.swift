import Streams

// The request's answer is what its client reads of the run.
extension RunEntry: Responder {
  var openStream: ClientDelivery? { reader?.stream }
  var backend: BackendStanding? { nil }
  var mayEndWithHalfClose: Bool { true }

  func clientDrained() { reader?.clientDrained() }

  func finish(_ outcome: Outcome, reason: String) { reader?.finish(outcome, reason: reason) }
}
