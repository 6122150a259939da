import Loop
import Runs
import Time

/// Looks whether the gateway that has a run is still there, and ends the run in its log once that has been away for long
/// enough. An `OwnerWatch` asks for however many runs together.
final class OwnerSearch {
  enum Finding {
    case isThere
    /// It is not ended yet: an owner whose keys are gone because Redis was emptied, or has no room, writes them again.
    case isMissing
    case wasClosed(Result<RunRecords.OrphanClose, RedisError>)
  }

  let run: RunID
  private let store: RunRecords
  /// Who is told; nobody any more when it is `nil`, and nothing is ended then.
  var tell: ((Finding) -> Void)?
  /// What names the run's owner, as it was last read; kept while it is not known whether that is still there.
  private var owner: String?
  /// The owner's loop, once it is known.
  private(set) var place: String?
  /// Whether anything named an owner when that was last read.
  private var isNamed = true
  private var missingSince: MonotonicTime?
  /// How often it was checked whether the owner is there.
  private var checks: UInt = 0
  private var isClosing = false

  init(_ run: RunID, store: RunRecords) {
    self.run = run
    self.store = store
  }

  var isMissing: Bool { missingSince != nil }
  /// Whether what names the owner has to be read: now and then also while its loop is there, which may have given it up.
  var isUnsure: Bool { place == nil || isMissing || checks % 5 == 0 }

  /// - Parameter text: `nil` when nothing names an owner.
  func ownerRead(_ text: String?) {
    owner = text
    isNamed = text != nil
    if let place = text.flatMap(GatewayLease.place) { self.place = place }
  }

  /// - Parameter isThere: whether the loop in `place` is; of no account where that is `nil`.
  func ownerChecked(_ isThere: Bool) {
    guard let tell else { return }
    checks &+= 1
    let isGone = place != nil && !isThere
    guard isGone || !isNamed else {
      missingSince = nil
      owner = nil
      return tell(.isThere)
    }
    tell(.isMissing)
    let now = store.redis.loop.now
    guard let since = missingSince else {
      missingSince = now
      return
    }
    // The loop writes its own key again at once, a run's with the next of its turns.
    let grace = isGone ? store.settings.renewal : store.settings.renewal + store.settings.prolonging
    guard now - since > grace, !isClosing, !store.redis.hasJustReturned else { return }
    isClosing = true
    store.closeOrphan(run, of: owner) { [weak self] result in
      guard let self else { return }
      isClosing = false
      self.tell?(.wasClosed(result))
    }
  }
}
