package provenance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"assay/internal/signing"
)

// mediaType is that of Sigstore bundles of version 0.3, in JSON.
const mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// bundle is a Sigstore bundle, as far as signatures by key and by certificate chain have it.
type bundle struct {
	MediaType string            `json:"mediaType"`
	Material  material          `json:"verificationMaterial"`
	Envelope  *signing.Envelope `json:"dsseEnvelope"`
}

type material struct {
	PublicKey   *publicKey      `json:"publicKey,omitempty"`
	Chain       *chain          `json:"x509CertificateChain,omitempty"`
	Certificate json.RawMessage `json:"certificate,omitempty"` // of Sigstore's services
	TlogEntries []any           `json:"tlogEntries"`
}

type publicKey struct {
	Hint string `json:"hint"`
}

type chain struct {
	Certificates []certificate `json:"certificates"`
}

type certificate struct {
	RawBytes []byte `json:"rawBytes"` // DER
}

// Signer is who signs: a key, and the certificates that say whose it is, the key's own first; none for
// a bare key.
type Signer struct {
	Key   *signing.Key
	Chain []*x509.Certificate
}

// hint names a key as the format's other implementations do: the SHA-256 of its PEM.
func hint(key signing.PublicKey) string {
	sum := sha256.Sum256(key.PEM())
	return hex.EncodeToString(sum[:])
}

// Sign signs the files of a folder, or one file. At is where the signature will lie, which
// is not signed itself; ignored are further relative paths to leave out. It gives the bundle.
func Sign(ctx context.Context, root, at string, ignored []string, by Signer, o Options) ([]byte, *Manifest, error) {
	ignored, err := ignores(root, at, ignored)
	if err != nil {
		return nil, nil, err
	}
	files, problems, err := List(ctx, root, ignored)
	if err != nil {
		return nil, nil, err
	}
	if len(problems) > 0 {
		return nil, nil, fmt.Errorf("%s cannot be signed: %s", root, problems[0])
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, nil, err
	}
	m, err := newManifest(ctx, filepath.Base(abs), files, ignored, o)
	if err != nil {
		return nil, nil, err
	}
	text, err := m.sign(by)
	return text, m, err
}

// SignFiles signs files by their names, wherever they are.
func SignFiles(ctx context.Context, name string, files []File, by Signer) ([]byte, error) {
	m, err := newManifest(ctx, name, files, nil, Options{})
	if err != nil {
		return nil, err
	}
	return m.sign(by)
}

// ignores are all paths that are left out, as they are recorded.
func ignores(root, at string, ignored []string) ([]string, error) {
	for _, name := range ignored {
		if !canonical(name) || bytes.ContainsAny([]byte(name), "*?[") {
			return nil, fmt.Errorf("%q cannot be left out: give a path relative to what is signed, with slashes and without patterns", name)
		}
	}
	all := slices.Concat(always, ignored)
	if name, ok := within(root, at); ok {
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (m *Manifest) sign(by Signer) ([]byte, error) {
	subject := signing.Resource{Name: m.Name, Digest: map[string]string{"sha256": m.Digest}}
	text, err := SignStatement(subject, predicateType, m.predicate(), by)
	if err != nil {
		return nil, err
	}
	var pretty bytes.Buffer
	err = json.Indent(&pretty, text, "", "  ")
	return append(pretty.Bytes(), '\n'), err
}

// SignStatement signs that something holds of a subject. It gives a bundle, as one line without its end.
func SignStatement[P any](subject signing.Resource, predicateType string, predicate P, by Signer) ([]byte, error) {
	b := bundle{MediaType: mediaType, Material: material{TlogEntries: []any{}}}
	if len(by.Chain) == 0 {
		b.Material.PublicKey = &publicKey{hint(by.Key.Public())}
	} else {
		own, err := signing.NewPublicKey(by.Chain[0].PublicKey)
		if err != nil || !own.Equal(by.Key.Public()) {
			return nil, fmt.Errorf("the first certificate (%s) is not that of the signing key: give the key's own first, then those above it", by.Chain[0].Subject)
		}
		b.Material.Chain = &chain{}
		for _, c := range by.Chain {
			b.Material.Chain.Certificates = append(b.Material.Chain.Certificates, certificate{c.Raw})
		}
	}
	envelope, err := signing.Sign(by.Key, []signing.Resource{subject}, predicateType, predicate)
	if err != nil {
		return nil, err
	}
	for i := range envelope.Signatures {
		envelope.Signatures[i].KeyID = "" // the material says which key it is (spec, 4.1)
	}
	b.Envelope = envelope
	return json.Marshal(b)
}

// Trust says whose signatures count: those by one of the keys, by the key of one of the
// certificates, or by a certificate that a chain leads from to one of the roots.
type Trust struct {
	Keys         []signing.PublicKey
	Certificates []*x509.Certificate
	Roots        []*x509.Certificate
	Identity     string    // that the certificate below a root must have: its common name, or an address, host name or URI
	Time         time.Time // at which certificates must be valid
}

// Signature is a signature that was found to be right.
type Signature struct {
	Manifest *Manifest
	Signer   string // whose it is, for people
}

// Open checks a bundle and gives what was signed. That nobody who is trusted signed it is an error.
func Open(text []byte, trust Trust) (*Signature, error) {
	payload, signer, err := OpenStatement(text, trust)
	if err != nil {
		return nil, err
	}
	m, err := readManifest(payload)
	return &Signature{m, signer}, err
}

// OpenStatement checks a bundle and gives the in-toto statement that was signed, as JSON, and whose the signature is.
// That nobody who is trusted signed it is an error.
func OpenStatement(text []byte, trust Trust) (payload []byte, by string, err error) {
	var b bundle
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, "", fmt.Errorf("it is no signature: %w", err)
	}
	switch {
	case b.MediaType != mediaType:
		return nil, "", fmt.Errorf("it is no Sigstore bundle of version 0.3: its media type is %q", b.MediaType)
	case b.Envelope == nil || len(b.Envelope.Signatures) != 1:
		return nil, "", errors.New("it holds no DSSE envelope with one signature")
	case b.Material.Certificate != nil:
		return nil, "", errors.New("it was made by way of Sigstore's services, whose log it takes to verify it: sign with a key or a certificate chain to verify offline")
	case b.Material.PublicKey == nil && b.Material.Chain == nil:
		return nil, "", errors.New("it does not say by which key it was made")
	}
	b.Envelope.Signatures[0].KeyID = "" // no part of the format: the key is known otherwise
	key, signer, err := b.trusted(trust)
	if err != nil {
		return nil, "", err
	}
	payload, err = signing.Open(b.Envelope, key)
	if err != nil {
		return nil, "", fmt.Errorf("%w (%s): it was changed, or is somebody else's", err, signer)
	}
	return payload, signer, nil
}

// trusted gives the key by which the signature must be, if it is to count.
func (b *bundle) trusted(trust Trust) (signing.PublicKey, string, error) {
	for _, key := range trust.Keys {
		if _, err := signing.Open(b.Envelope, key); err == nil {
			return key, "the key " + key.ID(), nil
		}
	}
	if b.Material.Chain == nil || len(trust.Roots)+len(trust.Certificates) == 0 {
		if len(trust.Keys) == 0 {
			return signing.PublicKey{}, "", errors.New("it was made by a bare key, and what is trusted are certificates: give the key that is trusted")
		}
		return signing.PublicKey{}, "", errors.New("it is not by a key that is trusted: it was changed, or is somebody else's")
	}
	var certificates []*x509.Certificate
	for _, c := range b.Material.Chain.Certificates {
		parsed, err := x509.ParseCertificate(c.RawBytes)
		if err != nil {
			return signing.PublicKey{}, "", fmt.Errorf("its certificate cannot be read: %w", err)
		}
		certificates = append(certificates, parsed)
	}
	if len(certificates) == 0 {
		return signing.PublicKey{}, "", errors.New("it has an empty chain of certificates")
	}
	if err := trust.chain(certificates); err != nil {
		return signing.PublicKey{}, "", err
	}
	key, err := signing.NewPublicKey(certificates[0].PublicKey)
	return key, fmt.Sprintf("the certificate of %s", certificates[0].Subject), err
}

// chain checks that the first certificate is trusted to sign.
func (t Trust) chain(certificates []*x509.Certificate) error {
	leaf := certificates[0]
	if t.Time.Before(leaf.NotBefore) || t.Time.After(leaf.NotAfter) {
		return fmt.Errorf("the certificate of %s is valid from %s to %s, and now it is %s", leaf.Subject, leaf.NotBefore.Format(time.DateOnly), leaf.NotAfter.Format(time.DateOnly), t.Time.Format(time.DateOnly))
	}
	if leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) {
		return fmt.Errorf("the certificate of %s is not for signing: it has neither the usage digitalSignature nor codeSigning", leaf.Subject)
	}
	if slices.ContainsFunc(t.Certificates, leaf.Equal) {
		return t.identity(leaf)
	}
	roots, above := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range t.Roots {
		roots.AddCert(c)
	}
	for _, c := range certificates[1:] {
		above.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, CurrentTime: t.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("the certificate of %s is not trusted: %w", leaf.Subject, err)
	}
	return t.identity(leaf)
}

func (t Trust) identity(leaf *x509.Certificate) error {
	names := slices.Concat([]string{leaf.Subject.CommonName}, leaf.EmailAddresses, leaf.DNSNames)
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	if t.Identity != "" && !slices.Contains(names, t.Identity) {
		return fmt.Errorf("the certificate is that of %q, and %q is trusted", names, t.Identity)
	}
	return nil
}

// Verification is what Verify found.
type Verification struct {
	Signer   string    `json:"signer,omitempty"` // empty where the signature does not count
	Files    []string  `json:"files"`            // that are as they were signed
	Problems []Problem `json:"problems"`
}

// maxBundle bounds what is read of a signature.
const maxBundle = 256 << 20

// Verify compares a folder, or one file, with its signature. Ignored are relative paths that are left out
// beside those that the signature itself names. What is wrong with the signature is a problem of its file.
func Verify(ctx context.Context, root, at string, ignored []string, trust Trust, o Options) (*Verification, error) {
	v := &Verification{Files: []string{}, Problems: []Problem{}}
	text, err := read(at)
	if err != nil {
		return nil, err
	}
	s, err := Open(text, trust)
	if err != nil {
		v.Problems = append(v.Problems, Problem{at, err.Error()})
		return v, nil
	}
	leftOut, err := ignores(root, at, slices.Concat(s.Manifest.serialization.IgnorePaths, ignored))
	if err != nil {
		v.Problems = append(v.Problems, Problem{at, err.Error()})
		return v, nil
	}
	files, problems, err := List(ctx, root, leftOut)
	if err != nil {
		return nil, err
	}
	same, wrong, err := s.Manifest.Compare(ctx, files, o)
	if err != nil {
		return nil, err
	}
	v.Signer, v.Files, v.Problems = s.Signer, append(v.Files, same...), slices.Concat(v.Problems, problems, wrong)
	return v, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBundle+1))
	if err == nil && len(text) > maxBundle {
		err = fmt.Errorf("%s has more than %d bytes: it is no signature", path, maxBundle)
	}
	return text, err
}

// ReadCertificates reads certificates in PEM, in their order.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no certificate in PEM: it should begin with -----BEGIN CERTIFICATE-----", path)
	}
	return all, nil
}

// ReadTrust reads keys, certificates and roots from files in PEM.
func ReadTrust(keys, certificates, roots []string, identity string, now time.Time) (Trust, error) {
	t := Trust{Identity: identity, Time: now}
	for _, path := range keys {
		key, err := signing.ReadPublicKey(path)
		if err != nil {
			return t, err
		}
		t.Keys = append(t.Keys, key)
	}
	for _, path := range certificates {
		read, err := ReadCertificates(path)
		if err != nil {
			return t, err
		}
		t.Certificates = append(t.Certificates, read[0])
	}
	for _, path := range roots {
		read, err := ReadCertificates(path)
		if err != nil {
			return t, err
		}
		t.Roots = append(t.Roots, read...)
	}
	return t, nil
}
