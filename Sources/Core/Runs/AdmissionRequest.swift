package import SSE
package import Streams
package import Time

/// What `RunAdmission` has to know of a request.
package struct AdmissionRequest: Sendable {
  package var principal: Digest
  /// The client's own key, under which there is one run on all replicas.
  package var idempotencyKey: Digest?
  /// The name in the route's path, under which there is one run too.
  package var name: Digest?
  /// The client's own name for its stream.
  package var clientStream: Digest?
  /// The run of a worker that the path names, or its stream.
  package var workerRun: String?
  /// Whether it says which event it has last.
  package var hasLastID = false
  /// The stream of that event, where the id is of the gateway's making.
  package var lastStream: StreamID?
  /// What is asked for, where requests are compared.
  package var digest: Digest?
  /// Whether the client can be told that it gets another run than the one it names.
  package var mayBeginAnew = true
  /// Whether runs of the route are kept in the store.
  package var isStored = false
  /// Whether there is a store at all.
  package var hasStore = false
  /// Whether a run begins without its store, if the store can't be reached.
  package var goesOnWithoutStore = true
  /// `RunStore.lease`
  package var lease = Nanoseconds.seconds(10)

  package init(principal: Digest) { self.principal = principal }

  /// Under which there is but one run, on all replicas.
  var key: Digest? { idempotencyKey ?? name }
  /// What a run of this key must have been asked for with: a name alone does not say.
  var keyedDigest: Digest? { idempotencyKey == nil ? Self.anyRequest : digest }
  /// Whether it wants the answer from its beginning, and so has no use for a run that a gateway itself has ended.
  var startsAnew: Bool { !hasLastID }
  /// Whether a run of another replica may be meant by something else than its stream's id or its key.
  var mayBeKnownElsewhere: Bool { clientStream != nil || (hasLastID && key != nil) }

  private static let anyRequest = Digest([Array("any request".utf8)])
}
