import Bytes
import Loop
import Sockets
import Testing
import Time

@Suite struct ConnectionTests {
  @Test func `bytes go both ways`() throws {
    let test = try TestLoop()
    let pair = try Pair(test)
    pair.server.onReceive = { server, input in server.connection.write(input.bytes) }
    pair.client.connection.write(text: "hello")
    test.run(until: { pair.client.text == "hello" })
    #expect(pair.server.text == "hello")
    #expect(pair.client.connection.queuedBytes == 0)
    pair.client.connection.close()
    test.run(until: { pair.server.ends == [.finished] })
  }
}
