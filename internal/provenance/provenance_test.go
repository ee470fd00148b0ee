package provenance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"

	"assay/internal/signing"
)

var now = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// write makes files below a folder.
func write(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

var some = map[string]string{"config.json": "{}", "weights.bin": "numbers", "deep/er/vocabulary.txt": "words", "empty": ""}

// signed makes a folder of files with its signature beside it.
func signedFolder(t *testing.T) (root, at string, trust Trust) {
	t.Helper()
	dir := t.TempDir()
	root, at = filepath.Join(dir, "model"), filepath.Join(dir, "model", "model.sig")
	write(t, root, some)
	write(t, root, map[string]string{".git/HEAD": "ref", ".gitattributes": "* text"})
	key := signing.NewKey([32]byte{7})
	text, m, err := Sign(t.Context(), root, at, nil, Signer{Key: key}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if m.Name != "model" || len(m.Files()) != len(some) {
		t.Fatalf("%+v", m)
	}
	return root, at, Trust{Keys: []signing.PublicKey{key.Public()}, Time: now}
}

func verify(t *testing.T, root, at string, trust Trust) *Verification {
	t.Helper()
	v, err := Verify(t.Context(), root, at, nil, trust, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	root, at, trust := signedFolder(t)
	if v := verify(t, root, at, trust); len(v.Problems) != 0 || len(v.Files) != len(some) || !strings.HasPrefix(v.Signer, "the key ") {
		t.Errorf("%+v", v)
	}
	text, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Sign(t.Context(), root, at, nil, Signer{Key: signing.NewKey([32]byte{7})}, Options{Workers: 1})
	if err != nil || string(again) != string(text) {
		t.Errorf("signed again, it is another signature: %v", err)
	}
}

// TestProblems changes a signed folder in every way, and wants each file called by its name.
func TestProblems(t *testing.T) {
	rename := func(from, to string) func(string) error {
		return func(root string) error { return os.Rename(filepath.Join(root, from), filepath.Join(root, to)) }
	}
	put := func(name, content string) func(string) error {
		return func(root string) error { return os.WriteFile(filepath.Join(root, name), []byte(content), 0o600) }
	}
	for name, c := range map[string]struct {
		change func(root string) error
		want   []string
	}{
		"tampered":    {put("weights.bin", "nvmbers"), []string{"weights.bin: it was changed since it was signed"}},
		"cut":         {put("weights.bin", "number"), []string{"weights.bin: it was changed"}},
		"longer":      {put("empty", "x"), []string{"empty: it was changed"}},
		"renamed":     {rename("weights.bin", "other.bin"), []string{"other.bin: it is not signed by this name: it was signed as weights.bin", "weights.bin: it is missing: it was renamed to other.bin"}},
		"case":        {rename("weights.bin", "Weights.bin"), []string{"Weights.bin: it is not signed by this name", "weights.bin: it is missing"}},
		"removed":     {func(root string) error { return os.Remove(filepath.Join(root, "config.json")) }, []string{"config.json: it is missing"}},
		"added":       {put("handler.py", "import os"), []string{"handler.py: it is not signed: it was added"}},
		"added empty": {put("flag", ""), []string{"flag: it is not signed"}},
		"not ignored deeper": {func(root string) error {
			return os.WriteFile(filepath.Join(root, "deep", ".gitattributes"), nil, 0o600)
		}, []string{"deep/.gitattributes: it is not signed"}},
		"swapped": {func(root string) error {
			return errors.Join(rename("weights.bin", "x")(root), rename("config.json", "weights.bin")(root), rename("x", "config.json")(root))
		}, []string{"config.json: it was changed since it was signed: its content is that of weights.bin", "weights.bin: it was changed since it was signed: its content is that of config.json"}},
		"symlink added": {func(root string) error { return os.Symlink("weights.bin", filepath.Join(root, "link.bin")) }, []string{"link.bin: it is a symbolic link"}},
		"symlink in its place": {func(root string) error {
			return errors.Join(rename("weights.bin", "../weights.bin")(root), os.Symlink("../weights.bin", filepath.Join(root, "weights.bin")))
		}, []string{"weights.bin: it is a symbolic link", "weights.bin: it is missing"}},
		"folder as a symlink": {func(root string) error {
			return errors.Join(rename("deep", "../deep")(root), os.Symlink("../deep", filepath.Join(root, "deep")))
		}, []string{"deep: it is a symbolic link", "deep/er/vocabulary.txt: it is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			root, at, trust := signedFolder(t)
			if err := c.change(root); err != nil {
				t.Fatal(err)
			}
			v := verify(t, root, at, trust)
			if len(v.Problems) != len(c.want) {
				t.Fatalf("%v", v.Problems)
			}
			for i, p := range v.Problems {
				if !strings.HasPrefix(p.String(), c.want[i]) {
					t.Errorf("%s, not %s", p, c.want[i])
				}
			}
		})
	}
}

// TestEveryByteOfASignature: no byte of a signature can be changed so that another statement counts.
func TestEveryByteOfASignature(t *testing.T) {
	_, at, trust := signedFolder(t)
	text, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	right, err := Open(text, trust)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range text {
		changed := slices.Clone(text)
		changed[i] ^= 1
		s, err := Open(changed, trust)
		if err != nil {
			refused++
		} else if s.Manifest.Digest != right.Manifest.Digest || !slices.Equal(s.Manifest.Files(), right.Manifest.Files()) {
			t.Errorf("byte %d: %+v", i, s)
		}
	}
	if refused < len(text)/2 {
		t.Errorf("%d of %d changes were refused", refused, len(text))
	}
}

func TestStrangersAreRefused(t *testing.T) {
	root, at, trust := signedFolder(t)
	other := trust
	other.Keys = []signing.PublicKey{signing.NewKey([32]byte{8}).Public()}
	if v := verify(t, root, at, other); len(v.Problems) != 1 || v.Problems[0].File != at || !strings.Contains(v.Problems[0].Detail, "not by a key that is trusted") || len(v.Files) != 0 {
		t.Errorf("%+v", v)
	}
	if v := verify(t, root, at, Trust{Time: now}); len(v.Problems) != 1 {
		t.Errorf("nobody is trusted: %+v", v)
	}
	if _, err := Verify(t.Context(), root, at+"x", nil, trust, Options{}); err == nil {
		t.Error("a signature that is not there was read")
	}
}

func TestSignRefuses(t *testing.T) {
	by := Signer{Key: signing.NewKey([32]byte{1})}
	root := t.TempDir()
	if _, _, err := Sign(t.Context(), root, "x.sig", nil, by, Options{}); err == nil || !strings.Contains(err.Error(), "no files") {
		t.Errorf("an empty folder: %v", err)
	}
	write(t, root, some)
	for _, name := range []string{"/abs", "../out", "a//b", "*.bin", ""} {
		if _, _, err := Sign(t.Context(), root, "x.sig", []string{name}, by, Options{}); err == nil || !strings.Contains(err.Error(), "cannot be left out") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := os.Symlink("weights.bin", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Sign(t.Context(), root, "x.sig", nil, by, Options{}); err == nil || !strings.Contains(err.Error(), "link: it is a symbolic link") {
		t.Errorf("%v", err)
	}
	if _, _, err := Sign(t.Context(), filepath.Join(root, "link"), "x.sig", nil, by, Options{}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Sign(ctx, filepath.Join(root, "weights.bin"), "x.sig", nil, by, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSingleFile(t *testing.T) {
	root, _, trust := signedFolder(t)
	file, at := filepath.Join(root, "weights.bin"), filepath.Join(root, "weights.bin.sig")
	text, m, err := Sign(t.Context(), file, at, nil, Signer{Key: signing.NewKey([32]byte{7})}, Options{})
	if err != nil || m.Name != "weights.bin" || !slices.Equal(m.Files(), []string{"weights.bin"}) {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := os.WriteFile(at, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, file, at, trust); len(v.Problems) != 0 || len(v.Files) != 1 {
		t.Errorf("%+v", v)
	}
	moved := filepath.Join(t.TempDir(), "other.bin")
	if err := os.Rename(file, moved); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, moved, at, trust); len(v.Problems) != 2 || !strings.Contains(v.Problems[0].Detail, "signed as weights.bin") {
		t.Errorf("%+v", v)
	}
}

// foreign makes a bundle as the specification says, with nothing but the standard library.
func foreign(t *testing.T, key *ecdsa.PrivateKey, material string, predicate any, root string) []byte {
	t.Helper()
	payload, err := json.MarshalIndent(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://model_signing/signature/v1.0", "predicate": predicate,
		"subject": []any{map[string]any{"name": "some model", "digest": map[string]string{"sha256": root}}},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const kind = "application/vnd.in-toto+json"
	pae := fmt.Sprintf("DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
	sum := sha256.Sum256([]byte(pae))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":%s,"dsseEnvelope":{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q,"keyid":null}]}}`,
		material, base64.StdEncoding.EncodeToString(payload), kind, base64.StdEncoding.EncodeToString(sig))
}

func newECDSA(t *testing.T) (*ecdsa.PrivateKey, signing.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// TestForeignSignatures verifies bundles that are written by hand: of whole files, of shards,
// by another hash, and in the ways of earlier versions.
func TestForeignSignatures(t *testing.T) {
	key, public := newECDSA(t)
	trust := Trust{Keys: []signing.PublicKey{public}, Time: now}
	dir := t.TempDir()
	write(t, dir, map[string]string{"m/a:1.bin": "0123456789", "m/b": "beta", "m/left/out": "x", "alone": "single"})
	sha := func(text string) []byte { s := sha256.Sum256([]byte(text)); return s[:] }
	blake := func(text string) []byte { s := blake2b.Sum512([]byte(text)); return s[:] }
	item := func(name, algorithm string, sum []byte) map[string]any {
		return map[string]any{"name": name, "algorithm": algorithm, "digest": hexOf(sum), "media_type": "ignored"}
	}
	how := func(method, hash string, more ...any) map[string]any {
		m := map[string]any{"method": method, "hash_type": hash, "allow_symlinks": false, "ignore_paths": []string{"left"}}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	join := func(sums ...[]byte) string { return hexOf(sha(string(slices.Concat(sums...)))) }
	hinted := `{"publicKey":{"hint":"00"},"tlogEntries":[]}`
	for name, c := range map[string]struct {
		root      string
		material  string
		predicate any
		digest    string
		files     int
		want      string
	}{
		"whole":  {"m", hinted, map[string]any{"resources": []any{item("a:1.bin", "sha256", sha("0123456789")), item("b", "sha256", sha("beta"))}, "serialization": how("files", "sha256")}, join(sha("0123456789"), sha("beta")), 2, ""},
		"before": {"m", `{"publicKey":{"rawBytes":"AAAA","keyDetails":"PKIX_ECDSA_P256_SHA_256"}}`, map[string]any{"resources": []any{item("a:1.bin", "sha256", sha("0123456789")), item("b", "sha256", sha("beta"))}, "serialization": how("files", "sha256")}, join(sha("0123456789"), sha("beta")), 2, ""},
		"blake2": {"m", hinted, map[string]any{"resources": []any{item("a:1.bin", "blake2b", blake("0123456789")), item("b", "blake2b", blake("beta"))}, "serialization": how("files", "blake2b")}, join(blake("0123456789"), blake("beta")), 2, ""},
		"shards": {"m", hinted, map[string]any{"resources": []any{item("a:1.bin:0:4", "sha256", sha("0123")), item("a:1.bin:4:8", "sha256", sha("4567")), item("a:1.bin:8:10", "sha256", sha("89")), item("b:0:4", "sha256", sha("beta"))},
			"serialization": how("shards", "sha256", "shard_size", 4)}, join(sha("0123"), sha("4567"), sha("89"), sha("beta")), 2, ""},
		"unnamed": {"alone", hinted, map[string]any{"resources": []any{item(".", "sha256", sha("single"))}, "serialization": how("files", "sha256")}, join(sha("single")), 1, ""},
		"a shard is missing": {"m", hinted, map[string]any{"resources": []any{item("a:1.bin:0:4", "sha256", sha("0123")), item("a:1.bin:8:10", "sha256", sha("89"))}, "serialization": how("shards", "sha256", "shard_size", 4)},
			join(sha("0123"), sha("89")), 0, "do not follow one another"},
		"the last shard is missing": {"m", hinted, map[string]any{"resources": []any{item("a:1.bin:0:4", "sha256", sha("0123")), item("a:1.bin:4:8", "sha256", sha("4567")), item("b:0:4", "sha256", sha("beta"))},
			"serialization": how("shards", "sha256", "shard_size", 4)}, join(sha("0123"), sha("4567"), sha("beta")), 1, "a:1.bin: it was changed"},
		"no shard":     {"m", hinted, map[string]any{"resources": []any{item("b", "sha256", sha("beta"))}, "serialization": how("shards", "sha256", "shard_size", 4)}, join(sha("beta")), 0, "is no shard"},
		"outside":      {"m", hinted, map[string]any{"resources": []any{item("../alone", "sha256", sha("single"))}, "serialization": how("files", "sha256")}, join(sha("single")), 0, "relative paths within"},
		"twice":        {"m", hinted, map[string]any{"resources": []any{item("b", "sha256", sha("beta")), item("b", "sha256", sha("beta"))}, "serialization": how("files", "sha256")}, join(sha("beta"), sha("beta")), 0, "twice"},
		"other root":   {"m", hinted, map[string]any{"resources": []any{item("b", "sha256", sha("beta"))}, "serialization": how("files", "sha256")}, join(sha("alpha")), 0, "contradicts itself"},
		"other hash":   {"m", hinted, map[string]any{"resources": []any{item("b", "blake3", sha("beta"))}, "serialization": how("files", "blake3")}, join(sha("beta")), 0, "not known here"},
		"mixed hashes": {"m", hinted, map[string]any{"resources": []any{item("b", "sha256", sha("beta"))}, "serialization": how("files", "blake2b")}, join(sha("beta")), 0, "not by blake2b"},
		"other method": {"m", hinted, map[string]any{"resources": []any{item("b", "sha256", sha("beta"))}, "serialization": how("tree", "sha256")}, join(sha("beta")), 0, `method "tree"`},
		"no files":     {"m", hinted, map[string]any{"resources": []any{}, "serialization": how("files", "sha256")}, join(), 0, "no files"},
		"Sigstore":     {"m", `{"certificate":{"rawBytes":"AAAA"},"tlogEntries":[]}`, map[string]any{}, join(), 0, "Sigstore's services"},
		"no material":  {"m", `{}`, map[string]any{}, join(), 0, "by which key"},
	} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(t.TempDir(), "model.sig")
			if err := os.WriteFile(at, foreign(t, key, c.material, c.predicate, c.digest), 0o600); err != nil {
				t.Fatal(err)
			}
			v := verify(t, filepath.Join(dir, c.root), at, trust)
			if c.want == "" && len(v.Problems) > 0 || c.want != "" && (len(v.Problems) == 0 || !strings.Contains(v.Problems[0].String(), c.want)) || len(v.Files) != c.files {
				t.Errorf("%+v", v)
			}
		})
	}
}

// authority makes certificates: a root, one below it, and one that signs.
func authority(t *testing.T, usage x509.KeyUsage, until time.Time) (root *x509.Certificate, by Signer) {
	t.Helper()
	issue := func(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, ca bool, usage x509.KeyUsage, until time.Time) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, _ := newECDSA(t)
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: until, IsCA: ca, BasicConstraintsValid: true, KeyUsage: usage}
		if parent == nil {
			parent, parentKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made, key
	}
	root, rootKey := issue("root", nil, nil, true, x509.KeyUsageCertSign, now.AddDate(5, 0, 0))
	middle, middleKey := issue("middle", root, rootKey, true, x509.KeyUsageCertSign, now.AddDate(5, 0, 0))
	leaf, leafKey := issue("release team", middle, middleKey, false, usage, until)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.ReadKey(writePEM(t, "PRIVATE KEY", der))
	if err != nil {
		t.Fatal(err)
	}
	return root, Signer{key, []*x509.Certificate{leaf, middle}}
}

func TestCertificates(t *testing.T) {
	root, by := authority(t, x509.KeyUsageDigitalSignature, now.AddDate(1, 0, 0))
	stranger, _ := authority(t, x509.KeyUsageDigitalSignature, now.AddDate(1, 0, 0))
	_, unfit := authority(t, x509.KeyUsageKeyEncipherment, now.AddDate(1, 0, 0))
	file := filepath.Join(t.TempDir(), "m.bin")
	if err := os.WriteFile(file, []byte("numbers"), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(by Signer) string {
		text, _, err := Sign(t.Context(), file, file+".sig", nil, by, Options{})
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(t.TempDir(), "m.sig")
		if err := os.WriteFile(at, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	at := sign(by)
	for name, c := range map[string]struct {
		at    string
		trust Trust
		want  string
	}{
		"root":           {at, Trust{Roots: []*x509.Certificate{root}, Time: now}, ""},
		"identity":       {at, Trust{Roots: []*x509.Certificate{root}, Identity: "release team", Time: now}, ""},
		"leaf":           {at, Trust{Certificates: by.Chain[:1], Time: now}, ""},
		"key":            {at, Trust{Keys: []signing.PublicKey{by.Key.Public()}, Time: now}, ""},
		"other identity": {at, Trust{Roots: []*x509.Certificate{root}, Identity: "somebody", Time: now}, `"somebody" is trusted`},
		"other root":     {at, Trust{Roots: []*x509.Certificate{stranger}, Time: now}, "is not trusted"},
		"other leaf":     {at, Trust{Certificates: by.Chain[1:], Time: now}, "is not trusted"},
		"too late":       {at, Trust{Roots: []*x509.Certificate{root}, Time: now.AddDate(2, 0, 0)}, "is valid from"},
		"too early":      {at, Trust{Certificates: by.Chain[:1], Time: now.AddDate(-2, 0, 0)}, "is valid from"},
		"unfit":          {sign(unfit), Trust{Certificates: unfit.Chain[:1], Time: now}, "is not for signing"},
		"bare key":       {sign(Signer{Key: by.Key}), Trust{Roots: []*x509.Certificate{root}, Time: now}, "bare key"},
	} {
		v := verify(t, file, c.at, c.trust)
		if c.want == "" && len(v.Problems) > 0 || c.want != "" && (len(v.Problems) != 1 || !strings.Contains(v.Problems[0].Detail, c.want)) {
			t.Errorf("%s: %+v", name, v)
		}
	}
	by.Chain = by.Chain[1:]
	if _, _, err := Sign(t.Context(), file, file+".sig", nil, by, Options{}); err == nil || !strings.Contains(err.Error(), "not that of the signing key") {
		t.Errorf("another's certificate: %v", err)
	}
}

// TestHashing reads many files side by side, and tells how far it is.
func TestHashing(t *testing.T) {
	var files []File
	for i := range 50 {
		text := strings.Repeat(string(rune('a'+i%26)), i*100_000)
		files = append(files, File{fmt.Sprintf("f%02d", i), int64(len(text)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
	}
	last := int64(0)
	sums, err := digests(t.Context(), files, "sha256", 0, Options{Workers: 4, Progress: func(done, total int64) {
		if done < last || done > total {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		r, _ := f.Open()
		text, _ := io.ReadAll(r)
		if want := sha256.Sum256(text); len(sums[i]) != 1 || sums[i][0] != hexOf(want[:]) {
			t.Errorf("%s: %s", f.Name, sums[i])
		}
	}
	files[3].Open = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	if _, err := digests(t.Context(), files, "sha256", 0, Options{}); err == nil || err.Error() != "f03: gone" {
		t.Errorf("%v", err)
	}
}

func FuzzOpen(f *testing.F) {
	key := signing.NewKey([32]byte{7})
	text, err := SignFiles(context.Background(), "m", []File{{"a", 1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a")), nil }}}, Signer{Key: key})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"x509CertificateChain":{"certificates":[{"rawBytes":"MAA="}]}},"dsseEnvelope":{"signatures":[{}]}}`))
	trust := Trust{Keys: []signing.PublicKey{key.Public()}, Time: now}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Open(text, trust)
		if err == nil && !slices.Equal(s.Manifest.Files(), []string{"a"}) {
			t.Errorf("%q was taken for signed", s.Manifest.Files())
		}
	})
}

// FuzzManifest reads what a trusted key signed, which may be damaged all the same.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"m","digest":{"sha256":"x"}}],"predicateType":"https://model_signing/signature/v1.0","predicate":{"resources":[{"name":"a:0:1","digest":"00","algorithm":"sha256"}],"serialization":{"method":"shards","hash_type":"sha256","shard_size":1}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := readManifest(payload)
		if err != nil {
			return
		}
		if _, _, err := m.Compare(t.Context(), nil, Options{}); err != nil {
			t.Error(err)
		}
	})
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
