package import Time

/// Someone who wants to be asked when a time has passed.
package protocol DeadlineMember: AnyObject {
  /// The member's deadline has passed.
  /// - Returns: the next deadline, or `nil` to leave the list. A lazy watchdog compares its last activity here and
  ///   returns a later time, so that activity itself costs nothing.
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime?
}

/// Names one membership. A handle whose membership is over does nothing.
package struct DeadlineHandle: Hashable, Sendable {
  let slot: UInt32
  let generation: UInt32
}

/// Coarse deadlines, checked by a scan at each tick of the loop (every 50 ms): never early, late by at most a tick.
///
/// A slot keeps its place for as long as it is taken, so that adding, moving and removing are O(1) and safe inside
/// `deadlinePassed`. Members are retained while they are in the list.
package final class DeadlineList {
  private static let never = UInt64.max

  private struct Slot {
    var member: (any DeadlineMember)?
    var generation: UInt32
  }

  // Apart from the members, so that the scan reads eight bytes a slot.
  private var deadlines: [UInt64] = []
  private var slots: [Slot] = []
  private var free: [UInt32] = []
  private var isScanning = false

  package init() {}

  /// Members in the list.
  package var count: Int { slots.count - free.count }

  package func add(_ member: any DeadlineMember, at deadline: MonotonicTime) -> DeadlineHandle {
    if let slot = free.popLast() {
      slots[Int(slot)].member = member
      deadlines[Int(slot)] = deadline.nanoseconds
      return DeadlineHandle(slot: slot, generation: slots[Int(slot)].generation)
    }
    slots.append(Slot(member: member, generation: generationOfNewSlots))
    deadlines.append(deadline.nanoseconds)
    return DeadlineHandle(slot: UInt32(slots.count - 1), generation: generationOfNewSlots)
  }

  // Higher after the arrays have been dropped, so that handles from before stay void.
  private var generationOfNewSlots: UInt32 = 0

  /// Sets another deadline, earlier or later.
  package func move(_ handle: DeadlineHandle, to deadline: MonotonicTime) {
    guard isCurrent(handle) else { return }
    deadlines[Int(handle.slot)] = deadline.nanoseconds
  }

  package func remove(_ handle: DeadlineHandle) {
    guard isCurrent(handle) else { return }
    vacate(Int(handle.slot))
    if count == 0, !isScanning { dropMemory() }
  }

  /// Lets all members go, unasked.
  package func removeAll() {
    for slot in slots.indices where slots[slot].member != nil { vacate(slot) }
    if !isScanning { dropMemory() }
  }

  /// Asks every member whose deadline is at or before `now`. The loop calls this; tests may.
  package func scan(at now: MonotonicTime) {
    guard !isScanning else { return }
    isScanning = true
    // Members added during the scan are looked at in the next one.
    let end = deadlines.count
    var index = nextPassed(from: 0, to: end, at: now.nanoseconds)
    while index < end {
      ask(index, at: now)
      index = nextPassed(from: index + 1, to: end, at: now.nanoseconds)
    }
    isScanning = false
    if count == 0 { dropMemory() }
  }

  private func nextPassed(from start: Int, to end: Int, at now: UInt64) -> Int {
    // Shared, not copied, and let go before anything changes.
    let shared = deadlines
    let times = shared.span
    var index = start
    while index < end, times[index] > now { index += 1 }
    return index
  }

  private func ask(_ index: Int, at now: MonotonicTime) {
    guard let member = slots[index].member else { return }
    let handle = DeadlineHandle(slot: UInt32(index), generation: slots[index].generation)
    // Not due again during the call, whatever happens in it.
    deadlines[index] = Self.never
    let next = member.deadlinePassed(at: now)
    guard isCurrent(handle) else { return }
    if let next {
      deadlines[index] = next.nanoseconds
    } else {
      vacate(index)
    }
  }

  private func isCurrent(_ handle: DeadlineHandle) -> Bool {
    let slot = Int(handle.slot)
    return slot < slots.count && slots[slot].generation == handle.generation && slots[slot].member != nil
  }

  private func vacate(_ slot: Int) {
    deadlines[slot] = Self.never
    slots[slot].member = nil
    slots[slot].generation &+= 1
    generationOfNewSlots = max(generationOfNewSlots, slots[slot].generation)
    free.append(UInt32(slot))
  }

  private func dropMemory() {
    guard !slots.isEmpty else { return }
    deadlines = []
    slots = []
    free = []
  }
}
