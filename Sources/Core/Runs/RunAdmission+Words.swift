package import SSE
package import Streams
package import Time

// What a `RunAdmission` says, and is told.
extension RunAdmission {
  /// What is asked: of the index (`indexAnswered`), of the process (`roomAnswered`, `placeAnswered`), of the store
  /// (`storeAnswered`).
  package enum Question: Equatable, Sendable {
    /// To the index: the run under a name, `startsAnew` as `RunIndex.find` has it.
    case alias(Digest, startsAnew: Bool)
    /// To the index: the run of a stream, unless a gateway has ended it and `startsAnew`.
    case stream(StreamID, startsAnew: Bool)
    /// Whether one more run may be kept; room is made first.
    case room
    /// Whether the store may keep one thing more for this client.
    case place
    case lookup(RunID)
    case runOfKey(Digest)
    case runOfStream(StreamID)
    case runOfClientStream(Digest)
    case remainingWait
    case claimKey(Digest, RunID, request: Digest)
    case claim(RunID, StreamID)
    case adopt(RunID)
  }

  /// What the store answers.
  package enum StoreAnswer: Equatable, Sendable {
    case fault(StoreFault)
    case run(RunState)
    case named(RunID?)
    case used(ClientStreamUse?)
    case wait(Nanoseconds)
    case key(KeyClaim)
    case claim(RunClaim)
    case adopted(RunMeta)
  }

  /// A run that the index knows.
  package struct IndexedRun: Equatable, Sendable {
    package var stream: StreamID
    package var request: Digest?

    package init(stream: StreamID, request: Digest?) {
      self.stream = stream
      self.request = request
    }
  }

  /// Whether one more run may be kept.
  package enum Room: Equatable, Sendable {
    /// It gets this stream.
    case given(StreamID)
    case noConnections
    case noMemory
  }

  package enum Verdict: Equatable, Sendable {
    /// A run of this loop's begins.
    case begin(StreamID, Keeping)
    /// The client reads a run of this process.
    case resume(StreamID)
    /// The client reads a run that another replica or a worker writes.
    ///
    /// - request: what it was asked for with, as far as that is known.
    // Rare and large: the steps of all other requests would carry its room along.
    indirect case follow(RunID, RunMeta, request: Digest?)
    /// The request is passed on, and nothing is kept.
    case passUnkept
    case refuse(Reason)
  }

  package enum Keeping: Equatable, Sendable {
    case inMemory
    /// It was claimed in the store.
    case inStore
    /// In memory, because the store can't be reached.
    case degraded
  }

  /// Why a request gets no run.
  package enum Reason: Equatable, Sendable, CaseIterable {
    case unknownRun
    /// It goes on from a stream that is not known, and can't be told so within another.
    case unknownStream
    case keyReused
    case noRoom
    case noConnections
    case storeAway
  }

  package enum Next: Equatable, Sendable {
    case nothing
    case ask(Question)
    /// `waited` is to be called after this time.
    case wait(Nanoseconds)
    case verdict(Verdict)
    /// The run that was claimed is given back.
    case giveUp
  }

  package struct Step: Equatable, Sendable {
    package var next: Next
    /// The claim of the request's key by this run is taken back first.
    package var releases: RunID?
    /// The store failed when the run of this stream was to begin.
    package var lost: Loss?

    package init(_ next: Next, releasing run: RunID? = nil, lost: Loss? = nil) {
      self.next = next
      releases = run
      self.lost = lost
    }
  }

  package struct Loss: Equatable, Sendable {
    package var stream: StreamID
    /// `nil` when the store has answered, but not as it should.
    package var fault: StoreFault?

    package init(stream: StreamID, fault: StoreFault?) {
      self.stream = stream
      self.fault = fault
    }
  }
}
