import Bytes
import EventSamples
import Testing

struct ByteBufferTests {
  @Test func `an empty buffer holds no memory`() {
    var buffer = ByteBuffer(headroom: 16)
    #expect(buffer.isEmpty && buffer.count == 0 && buffer.allocated == 0)
    #expect(buffer.toArray() == [])
    buffer.append("")
    buffer.append([UInt8]())
    buffer.removeFirst(0)
    buffer.truncate(to: 0)
    #expect(buffer.allocated == 0)
    buffer.append("x")
    #expect(buffer.allocated > 0)
    buffer.release()
    #expect(buffer.allocated == 0 && buffer.isEmpty)
    buffer.append("y")
    buffer.prepend([0x78].span)
    #expect(buffer.toArray() == Array("xy".utf8))
  }

  @Test func `everything can be appended`() {
    var buffer = ByteBuffer()
    var other = ByteBuffer()
    other.append("o")
    buffer.append(other)
    buffer.append(UInt8(ascii: "b"))
    buffer.append("static" as StaticString)
    buffer.append("text" as String)
    buffer.append("subtext".dropFirst(3))
    buffer.append([0x31, 0x32])
    buffer.append([0x33, 0x34].span)
    #expect(String(copying: buffer.span) == "obstatictexttext1234")
    #expect(buffer.withSpan { $0.count } == buffer.count)
  }

  @Test func `spans of every length are appended whole`() {
    for length in 0...100 {
      for before in 0...9 {
        let bytes = (0..<length).map { UInt8($0 + 1) }
        var buffer = ByteBuffer()
        buffer.append([UInt8](repeating: 0xAA, count: before))
        buffer.append(bytes.span)
        buffer.append(UInt8(0xBB))
        #expect(buffer.toArray() == [UInt8](repeating: 0xAA, count: before) + bytes + [0xBB])
      }
    }
  }

  @Test func `bytes can be written in place`() {
    var buffer = ByteBuffer(headroom: 3)
    buffer.append("x")
    buffer.append(count: 5) { bytes in for index in bytes.indices { bytes[index] = UInt8(index) } }
    buffer.append(count: 0) { _ in Issue.record("nothing to write") }
    #expect(buffer.toArray() == [UInt8(ascii: "x"), 0, 1, 2, 3, 4])
  }

  @Test func `headroom takes a header without moving the body`() {
    for headroom in [1, 8, 100] {
      var buffer = ByteBuffer(headroom: headroom)
      buffer.append([UInt8](repeating: 7, count: 1000))
      buffer.prepend([UInt8](repeating: 9, count: headroom).span)
      #expect(buffer.toArray() == [UInt8](repeating: 9, count: headroom) + [UInt8](repeating: 7, count: 1000))
      buffer.removeAll()
      buffer.prepend([UInt8](repeating: 3, count: headroom).span)
      #expect(buffer.count == headroom)
    }
  }

  @Test func `headroom can be used before anything is written`() {
    var buffer = ByteBuffer(headroom: 4)
    buffer.prepend([1, 2].span)
    buffer.prepend([0].span)
    buffer.prepend([UInt8]().span)
    buffer.append([3])
    #expect(buffer.toArray() == [0, 1, 2, 3])
    buffer.prepend(9)
    #expect(buffer.toArray() == [9, 0, 1, 2, 3])
  }

  @Test func `more than the headroom is a programming error`() async {
    await #expect(processExitsWith: .failure) {
      var buffer = ByteBuffer(headroom: 2)
      buffer.prepend([1, 2, 3].span)
    }
    await #expect(processExitsWith: .failure) {
      var buffer = ByteBuffer()
      buffer.append("ab")
      buffer.removeFirst(3)
    }
  }

  @Test func `any sequence of changes does what it does to an array`() {
    for seed in 0..<300 {
      var random = SeededGenerator(seed: UInt64(seed))
      let headroom = random.pick([0, 0, 3, 20])
      var buffer = ByteBuffer(headroom: headroom)
      var model: [UInt8] = []
      // Bytes free in front: the headroom and what was removed since the buffer was empty.
      var front = headroom
      for step in 0..<300 {
        let bytes = (0..<random.below(random.pick([3, 40, 300]))).map { _ in UInt8(random.below(256)) }
        switch random.below(8) {
        case 0, 1, 2:
          buffer.append(bytes)
          model += bytes
          front = min(front, headroom)
        case 3, 4:
          let length = random.below(model.count + 1)
          buffer.removeFirst(length)
          model.removeFirst(length)
          front = model.isEmpty ? headroom : front
        case 5:
          let header = Array(bytes.prefix(front))
          buffer.prepend(header.span)
          model = header + model
          front -= header.count
        case 6:
          let length = random.below(model.count + 1)
          buffer.truncate(to: length)
          model.removeLast(model.count - length)
        default:
          if random.chance(50) { buffer.removeAll() } else { buffer.release() }
          model = []
          front = headroom
        }
        guard buffer.toArray() == model, buffer.count == model.count, buffer.isEmpty == model.isEmpty else {
          Issue.record("seed \(seed) step \(step)")
          return
        }
      }
    }
  }

  @Test func `a queue that is written behind and read in front stays small`() {
    var buffer = ByteBuffer(headroom: 8)
    for _ in 0..<10_000 {
      buffer.append([UInt8](repeating: 1, count: 100))
      buffer.removeFirst(buffer.count > 500 ? 120 : 90)
    }
    #expect(buffer.allocated <= 4096)
  }

  @Test func `room that was reserved is there`() {
    var buffer = ByteBuffer()
    buffer.reserve(10_000)
    let allocated = buffer.allocated
    #expect(allocated >= 10_000)
    for _ in 0..<10_000 { buffer.append(UInt8(1)) }
    #expect(buffer.allocated == allocated && buffer.count == 10_000)
  }

  private func decimal(_ number: some FixedWidthInteger) -> String {
    var buffer = ByteBuffer()
    buffer.append(decimal: number)
    return String(copying: buffer.span)
  }

  @Test func `numbers are written as Swift writes them`() {
    let signed = [0, 1, 9, 10, 99, 100, 12_345, Int.max, Int.min, -1, -10]
    for number in signed { #expect(decimal(number) == "\(number)") }
    let unsigned: [UInt64] = [0, .max, .max - 1, 1 << 63, 9_999_999_999, 10_000_000_000]
    for number in unsigned { #expect(decimal(number) == "\(number)") }
    #expect(decimal(Int8.min) == "-128")
    #expect(decimal(UInt16.max) == "65535")
    // The ways that callers with these types take.
    var buffer = ByteBuffer()
    for number in signed { buffer.append(decimal: number) }
    for number in unsigned { buffer.append(decimal: number) }
    #expect(String(copying: buffer.span) == signed.map(String.init).joined() + unsigned.map { "\($0)" }.joined())
  }

  @Test func `hexadecimal has no leading zeros`() {
    for number in [0, 1, 9, 10, 15, 16, 255, 256, 65_535, 65_536, Int.max] {
      var buffer = ByteBuffer()
      buffer.append(hexadecimal: number)
      #expect(String(copying: buffer.span) == String(number, radix: 16))
    }
  }
}
