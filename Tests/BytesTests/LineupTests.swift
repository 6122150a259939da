import Bytes
import Testing

@Suite struct LineupTests {
  @Test func `the first is the one that has been there longest, whoever has left meanwhile`() {
    var line = Lineup<Int>()
    var places = (0..<6).map { line.append($0) }
    line.remove(places[0])
    line.remove(places[3])
    #expect(line.first == 1 && line.count == 4)
    places[0] = line.append(9)
    for place in [1, 2, 4, 5] {
      #expect(line.first == place)
      line.remove(places[place])
    }
    #expect(line.first == 9 && line.count == 1)
    line.remove(places[0])
    #expect(line.isEmpty && line.first == nil)
  }

  @Test func `places are used again`() {
    var line = Lineup<Int>()
    for round in 0..<5000 {
      let place = line.append(round)
      #expect(line.first == round)
      line.remove(place)
    }
    #expect(line.isEmpty)
  }
}
