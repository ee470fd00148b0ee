// Package signing has keys and what is signed with them: in-toto statements in DSSE
// envelopes. What a statement says is for those who make it.
package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Key signs: an Ed25519 or ECDSA key in a file, as PEM, which OpenSSL reads too.
type Key struct{ private crypto.Signer }

// OpenKey reads a key. Where there is none it makes one (Ed25519, PKCS #8), readable by
// its owner alone, and says so.
func OpenKey(path string) (key *Key, created bool, err error) {
	key, err = ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = createKey(path)
		return key, err == nil, err
	}
	return key, false, err
}

// ReadKey reads a key: PKCS #8, or as OpenSSL's ecparam writes them (SEC 1).
func ReadKey(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the signing key: %w", err)
	}
	block, _ := pem.Decode(text)
	for block != nil && block.Type == "EC PARAMETERS" {
		block, text = pem.Decode(text)
	}
	var parsed any
	switch {
	case block != nil && block.Type == "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case block != nil && block.Type == "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	case block != nil && block.Type == "ENCRYPTED PRIVATE KEY":
		return nil, fmt.Errorf("the signing key %s is encrypted: give it decrypted, such as by openssl pkey, in a file for you alone", path)
	default:
		return nil, fmt.Errorf("%s is no private key in PEM: it should begin with -----BEGIN PRIVATE KEY-----", path)
	}
	if err != nil {
		return nil, fmt.Errorf("the signing key %s: %w", path, err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok || !known(private.Public()) {
		return nil, fmt.Errorf("the signing key %s is of another kind: %s", path, wanted)
	}
	return &Key{private}, nil
}

// NewKey makes an Ed25519 key of a seed, such as for tests that must repeat.
func NewKey(seed [sha256.Size]byte) *Key { return &Key{ed25519.NewKeyFromSeed(seed[:])} }

func createKey(path string) (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("the signing key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the signing key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return nil, fmt.Errorf("the signing key: %w", err)
	}
	return &Key{private}, nil
}

// Public is the key that checks what this one signed.
func (k *Key) Public() PublicKey { return PublicKey{k.private.Public()} }

// Sign signs data. The same key and data give the same signature, with ECDSA by RFC 6979.
func (k *Key) Sign(_ context.Context, data []byte) ([]byte, error) {
	hash := digestFor(k.private.Public())
	return k.private.Sign(nil, sum(hash, data), hash)
}

// KeyID names the key in an envelope.
func (k *Key) KeyID() (string, error) { return k.Public().ID(), nil }

// PublicKey checks signatures.
type PublicKey struct{ key crypto.PublicKey }

const wanted = "an Ed25519 key is needed, or an ECDSA key on P-256, P-384 or P-521"

// NewPublicKey takes a key over, such as that of a certificate.
func NewPublicKey(key crypto.PublicKey) (PublicKey, error) {
	if !known(key) {
		return PublicKey{}, fmt.Errorf("the public key is of another kind (%T): %s", key, wanted)
	}
	return PublicKey{key}, nil
}

func known(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return len(k) == ed25519.PublicKeySize
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	}
	return false
}

// digestFor is what is signed of data: the hash that goes with the curve (FIPS 186-5), or
// for Ed25519 the data themselves.
func digestFor(key crypto.PublicKey) crypto.Hash {
	k, ok := key.(*ecdsa.PublicKey)
	switch {
	case !ok:
		return 0
	case k.Curve == elliptic.P256():
		return crypto.SHA256
	case k.Curve == elliptic.P384():
		return crypto.SHA384
	}
	return crypto.SHA512
}

func sum(hash crypto.Hash, data []byte) []byte {
	if hash == 0 {
		return data
	}
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// ReadPublicKey reads a public key in PEM, or takes it from a private one.
func ReadPublicKey(path string) (PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return PublicKey{}, fmt.Errorf("the public key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block != nil && block.Type != "PUBLIC KEY" && block.Type != "CERTIFICATE" {
		key, err := ReadKey(path)
		if err != nil {
			return PublicKey{}, err
		}
		return key.Public(), nil
	}
	if block == nil || block.Type != "PUBLIC KEY" {
		return PublicKey{}, fmt.Errorf("%s is no public key in PEM: it should begin with -----BEGIN PUBLIC KEY-----", path)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("the public key %s: %w", path, err)
	}
	if !known(parsed) {
		return PublicKey{}, fmt.Errorf("the public key %s is of another kind: %s", path, wanted)
	}
	return PublicKey{parsed}, nil
}

func (p PublicKey) der() []byte {
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		panic(fmt.Sprintf("signing: a key of a known kind cannot be written: %v", err))
	}
	return der
}

// PEM is the key's text.
func (p PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.der()})
}

// ID names the key: the SHA-256 of its DER form, in hexadecimal.
func (p PublicKey) ID() string {
	sum := sha256.Sum256(p.der())
	return hex.EncodeToString(sum[:])
}

// Equal reports whether two keys are the same.
func (p PublicKey) Equal(q PublicKey) bool { return p.ID() == q.ID() }

// Verify reports a signature that is not this key's.
func (p PublicKey) Verify(_ context.Context, data, sig []byte) error {
	right := false
	switch k := p.key.(type) {
	case ed25519.PublicKey:
		right = ed25519.Verify(k, data, sig)
	case *ecdsa.PublicKey:
		right = ecdsa.VerifyASN1(k, sum(digestFor(k), data), sig)
	}
	if !right {
		return errors.New("the signature is wrong")
	}
	return nil
}

// KeyID names the key in an envelope.
func (p PublicKey) KeyID() (string, error) { return p.ID(), nil }

// Public is the key itself.
func (p PublicKey) Public() crypto.PublicKey { return p.key }
