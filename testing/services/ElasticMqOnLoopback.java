import org.elasticmq.NodeAddress;
import org.elasticmq.rest.sqs.SQSRestServerBuilder;

/** Runs ElasticMQ in memory on 127.0.0.1. Ends when standard input does, which is when the process that started it is gone. */
public class ElasticMqOnLoopback {
  public static void main(String[] args) throws Exception {
    int port = Integer.parseInt(args[0]);
    var address = new NodeAddress("http", "127.0.0.1", port, "");
    SQSRestServerBuilder.withInterface("127.0.0.1").withPort(port).withServerAddress(address).start().waitUntilStarted();
    System.out.println("ready");
    while (System.in.read() >= 0) {}
    System.exit(0);
  }
}
