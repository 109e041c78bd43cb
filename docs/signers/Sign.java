import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Makes a cookie for mod_athena: java Sign.java KEYFILE ID EXPIRES FARMS [MEMBER [CLASS]]
 *
 * <p>EXPIRES is in seconds since 1970, FARMS a list separated by commas; an empty MEMBER is none.
 * docs/cookie.md describes the format.
 */
public class Sign {
    private static final Base64.Encoder TEXT = Base64.getUrlEncoder().withoutPadding();

    static String sign(
            byte[] secret, String id, String expires, String farms, String member, String clientClass)
            throws GeneralSecurityException {
        String claims = "expires=" + expires + "\nfarms=" + farms;
        if (!member.isEmpty()) {
            claims += "\nmember=" + member;
        }
        if (!clientClass.isEmpty()) {
            claims += "\nclass=" + clientClass;
        }
        String signed =
                "v1." + id + "." + TEXT.encodeToString(claims.getBytes(StandardCharsets.US_ASCII));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret, "HmacSHA256"));
        byte[] signature = mac.doFinal(signed.getBytes(StandardCharsets.US_ASCII));
        return signed + "." + TEXT.encodeToString(signature);
    }

    public static void main(String[] args) throws Exception {
        if (args.length < 4 || args.length > 6) {
            System.err.println("usage: Sign.java KEYFILE ID EXPIRES FARMS [MEMBER [CLASS]]");
            System.exit(1);
        }
        byte[] secret = Files.readAllBytes(Path.of(args[0]));
        int length = secret.length;
        while (length > 0 && (secret[length - 1] == '\n' || secret[length - 1] == '\r')) {
            length--;
        }
        String[] all = Arrays.copyOf(args, 6);
        System.out.println(
                sign(
                        Arrays.copyOf(secret, length),
                        all[1],
                        all[2],
                        all[3],
                        all[4] == null ? "" : all[4],
                        all[5] == null ? "" : all[5]));
    }
}
