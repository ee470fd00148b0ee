package evidence

import (
	"context"
	"crypto"
	"crypto/ed25519"
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

// Key signs runs: an Ed25519 key in a file, as PEM (PKCS #8), which OpenSSL reads too.
type Key struct{ private ed25519.PrivateKey }

// OpenKey reads a key. Where there is none it makes one, readable by its owner
// alone, and says so.
func OpenKey(path string) (key *Key, created bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = createKey(path)
		return key, err == nil, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("the signing key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, false, fmt.Errorf("%s is no private key in PEM: it should begin with -----BEGIN PRIVATE KEY-----", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, false, fmt.Errorf("the signing key %s: %w", path, err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, false, fmt.Errorf("the signing key %s is of another kind: an Ed25519 key is needed", path)
	}
	return &Key{private}, false, nil
}

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
func (k *Key) Public() PublicKey { return PublicKey(k.private.Public().(ed25519.PublicKey)) }

// PublicKey checks signatures.
type PublicKey ed25519.PublicKey

// ReadPublicKey reads a public key in PEM, or takes it from a private one.
func ReadPublicKey(path string) (PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the public key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block != nil && block.Type == "PRIVATE KEY" {
		key, _, err := OpenKey(path)
		if err != nil {
			return nil, err
		}
		return key.Public(), nil
	}
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("%s is no public key in PEM: it should begin with -----BEGIN PUBLIC KEY-----", path)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the public key %s: %w", path, err)
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the public key %s is of another kind: an Ed25519 key is needed", path)
	}
	return PublicKey(public), nil
}

// PEM is the key's text.
func (p PublicKey) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(p))
	if err != nil {
		panic(err) // of a key of this kind and length it cannot be
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// ID names the key: the SHA-256 of its DER form, in hexadecimal.
func (p PublicKey) ID() string {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(p))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// signer is a Key for the envelope.
type signer struct{ *Key }

func (s signer) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.private, data), nil
}

func (s signer) KeyID() (string, error) { return s.Key.Public().ID(), nil }

// verifier is a PublicKey for the envelope.
type verifier struct{ PublicKey }

func (v verifier) Verify(_ context.Context, data, sig []byte) error {
	if len(v.PublicKey) != ed25519.PublicKeySize || !ed25519.Verify(ed25519.PublicKey(v.PublicKey), data, sig) {
		return errors.New("the signature is wrong")
	}
	return nil
}

func (v verifier) KeyID() (string, error)   { return v.ID(), nil }
func (v verifier) Public() crypto.PublicKey { return ed25519.PublicKey(v.PublicKey) }
