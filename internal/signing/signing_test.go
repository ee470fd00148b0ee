package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pkcs8(t *testing.T, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "key.pem")
	key, created, err := OpenKey(path)
	if err != nil || !created {
		t.Fatalf("created %v: %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can read the key", info.Mode(), err)
	}
	again, created, err := OpenKey(path)
	if err != nil || created || !again.Public().Equal(key.Public()) {
		t.Errorf("opened again: created %v, %v", created, err)
	}
	public := filepath.Join(t.TempDir(), "key.pub.pem")
	if err := os.WriteFile(public, key.Public().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{public, path} {
		if p, err := ReadPublicKey(from); err != nil || !p.Equal(key.Public()) {
			t.Errorf("%s: %v", from, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"RSA":       {write(t, "PRIVATE KEY", pkcs8(t, rsaKey)), "an Ed25519 key is needed"},
		"P-224":     {write(t, "PRIVATE KEY", pkcs8(t, weak)), "an Ed25519 key is needed"},
		"encrypted": {write(t, "ENCRYPTED PRIVATE KEY", []byte{1}), "is encrypted"},
		"damaged":   {write(t, "PRIVATE KEY", []byte{1, 2}), "the signing key"},
		"other":     {write(t, "LETTER", nil), "no private key in PEM"},
	} {
		if _, err := ReadKey(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, path := range map[string]string{"damaged": write(t, "PUBLIC KEY", []byte{0}), "certificate": write(t, "CERTIFICATE", nil)} {
		if _, err := ReadPublicKey(path); err == nil {
			t.Errorf("a public key that is %s was read", name)
		}
	}
}

// TestSign signs with each kind of key, and has the signatures checked by the standard library alone.
func TestSign(t *testing.T) {
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		sec1, err := x509.MarshalECPrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{write(t, "EC PRIVATE KEY", sec1), write(t, "PRIVATE KEY", pkcs8(t, private))} {
			key, err := ReadKey(path)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := key.Sign(t.Context(), []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			h := map[string]crypto.Hash{"P-256": crypto.SHA256, "P-384": crypto.SHA384, "P-521": crypto.SHA512}[name].New()
			h.Write([]byte("data"))
			if !ecdsa.VerifyASN1(&private.PublicKey, h.Sum(nil), sig) {
				t.Errorf("%s: the signature is wrong", name)
			}
			if again, _ := key.Sign(t.Context(), []byte("data")); string(again) != string(sig) {
				t.Errorf("%s: another signature of the same", name)
			}
			if key.Public().Verify(t.Context(), []byte("data"), sig) != nil || key.Public().Verify(t.Context(), []byte("date"), sig) == nil {
				t.Errorf("%s is not verified as it should be", name)
			}
		}
	}
}

func TestEnvelope(t *testing.T) {
	key, stranger := NewKey([32]byte{1}), NewKey([32]byte{2})
	e, err := Sign(key, []Resource{{"a", map[string]string{"sha256": "00"}}}, "https://example.org/p", map[string]int{"n": 1})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"00"}}],"predicateType":"https://example.org/p","predicate":{"n":1}}`
	if payload, err := Open(e, key.Public()); err != nil || string(payload) != want {
		t.Errorf("%s, %v", payload, err)
	}
	if _, err := Open(e, stranger.Public()); err == nil {
		t.Error("a stranger's key fits")
	}
	e.PayloadType = "text/plain"
	if _, err := Open(e, key.Public()); err == nil {
		t.Error("another type of payload was taken")
	}
}
