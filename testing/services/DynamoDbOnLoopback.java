import com.amazonaws.services.dynamodbv2.local.main.ServerRunner;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/**
 * Runs Amazon's DynamoDB Local in memory on 127.0.0.1. Its own main class listens on every interface and has no option for it.
 * Ends when standard input does, which is when the process that started it is gone.
 */
public class DynamoDbOnLoopback {
  public static void main(String[] args) throws Exception {
    String[] options = {"-inMemory", "-sharedDb", "-disableTelemetry", "-port", args[0]};
    var dynamo = ServerRunner.createServerFromCommandLineArgs(options);
    var field = dynamo.getClass().getDeclaredField("server");
    field.setAccessible(true);
    for (Connector connector : ((Server) field.get(dynamo)).getConnectors()) {
      ((ServerConnector) connector).setHost("127.0.0.1");
    }
    dynamo.start();
    System.out.println("ready");
    while (System.in.read() >= 0) {}
    System.exit(0);
  }
}
