import Operations
import Testing

/// What the process uses beside what its counters explain.
struct SelfCheckTests {
  @Test func `descriptors that no connection explains are left over`() {
    let check = SelfCheck(descriptors: 20, memory: 0)
    #expect(check.descriptors(open: 20, connections: 0) == 0)
    #expect(check.descriptors(open: 220, connections: 200) == 0)
    #expect(check.descriptors(open: 227, connections: 200) == 7)
    #expect(check.descriptors(open: 15, connections: 0) == 0, "fewer than at the start are none")
  }

  @Test func `memory is explained by what is kept, what waits, and by as many connections as there were`() {
    var check = SelfCheck(descriptors: 0, memory: 10 << 20)
    #expect(check.memory(resident: 12 << 20, connections: 0, kept: 1 << 20, queued: 1 << 20) == 0)
    #expect(check.memory(resident: 12 << 20, connections: 0, kept: 0, queued: 0) == 2 << 20)
    #expect(check.memory(resident: 12 << 20, connections: 32, kept: 0, queued: 0) == 0)
    #expect(check.memory(resident: 12 << 20, connections: 0, kept: 0, queued: 0) == 0, "the allocator keeps it")
    #expect(check.memory(resident: 13 << 20, connections: 0, kept: 0, queued: 0) == 1 << 20)
  }
}
