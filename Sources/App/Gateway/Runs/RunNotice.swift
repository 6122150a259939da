import Loop
import RedisLog
import Streams
import Time

/// Where all replicas can see how a run stands.
struct RunNotice {
  let id: RunID
  let redis: RedisClient

  func post(_ status: RunStatus) { redis.statusBoard.post(id, status) }
  func post(wish: DisconnectPolicy) { redis.statusBoard.post(id, wish: wish) }
}
