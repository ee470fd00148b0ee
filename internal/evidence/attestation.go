package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"assay/internal/signing"
)

// predicateType is the in-toto predicate for the results of tests.
const predicateType = "https://in-toto.io/attestation/test-result/v0.1"

// Statement says that these files are the result of that test.
type Statement = signing.Statement[TestResult]

// Resource names a file by its digest.
type Resource = signing.Resource

// TestResult is the predicate. Tests are decisions, by their ids.
type TestResult struct {
	Result        string     `json:"result"` // PASSED, WARNED or FAILED
	Configuration []Resource `json:"configuration"`
	PassedTests   []string   `json:"passedTests"`
	WarnedTests   []string   `json:"warnedTests"`
	FailedTests   []string   `json:"failedTests"`
}

// publicKeyFile holds the key that checks the signature, for those who have it
// confirmed by other means.
const publicKeyFile = "key.pub.pem"

// Seal signs all files of the run as they are. The result's configuration is filled
// with the manifest's inputs.
func (r *Run) Seal(key *signing.Key, result TestResult) error {
	if err := r.Write(publicKeyFile, key.Public().PEM()); err != nil {
		return err
	}
	result.Configuration = nil
	for _, in := range r.manifest.Inputs {
		result.Configuration = append(result.Configuration, Resource{Name: in.Path, Digest: map[string]string{"sha256": in.SHA256}})
	}
	subjects, err := r.digests()
	if err != nil {
		return err
	}
	envelope, err := signing.Sign(key, subjects, predicateType, result)
	if err != nil {
		return err
	}
	return r.Put(AttestationFile, envelope)
}

// decodeEnvelope reads an envelope, which must be written just as Seal writes it:
// base64 and JSON have many ways to say the same, and only one of them was signed.
func decodeEnvelope(text []byte, err error) (*signing.Envelope, error) {
	var e, again signing.Envelope
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	again = signing.Envelope{PayloadType: e.PayloadType, Payload: recode(e.Payload)}
	for _, s := range e.Signatures {
		again.Signatures = append(again.Signatures, dsse.Signature{KeyID: s.KeyID, Sig: recode(s.Sig)})
	}
	if canonical, err := json.MarshalIndent(again, "", "  "); err != nil || string(canonical)+"\n" != string(text) {
		return nil, errors.New("it was changed: it is not written as it was signed")
	}
	return &e, nil
}

func recode(text string) string {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(plain)
}

// digests gives the digests of all files but the attestation, by name.
func (r *Run) digests() ([]Resource, error) {
	names, err := r.Names("")
	if err != nil {
		return nil, err
	}
	var all []Resource
	for _, name := range names {
		if name == AttestationFile {
			continue
		}
		sum, err := r.digest(name)
		if err != nil {
			return nil, err
		}
		all = append(all, Resource{Name: name, Digest: map[string]string{"sha256": sum}})
	}
	return all, nil
}

func (r *Run) digest(name string) (string, error) {
	info, err := os.Lstat(r.path(name))
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", r.path(name))
	}
	_, sum, err := DigestFile(r.path(name))
	return sum, err
}

// DigestFile gives a file's length and SHA-256 in hexadecimal.
func DigestFile(path string) (bytes int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	if bytes, err = io.Copy(h, f); err != nil {
		return 0, "", err
	}
	return bytes, hex.EncodeToString(h.Sum(nil)), nil
}

// Problem is something that is wrong with a run folder.
type Problem struct {
	File   string `json:"file"`
	Detail string `json:"detail"`
}

func (p Problem) String() string { return p.File + ": " + p.Detail }

// Verification is what Verify found.
type Verification struct {
	Key      string    `json:"key"`     // ID of the key that signed
	Trusted  bool      `json:"trusted"` // whether that is one of the given keys
	Files    int       `json:"files"`   // that were compared with their digest
	Problems []Problem `json:"problems"`
	Statement
}

// Inspect verifies a folder as Verify does. A manifest that cannot be read is a problem of a signed
// folder, as any other changed file is, and an error where nothing is signed.
func Inspect(dir string, trusted ...signing.PublicKey) (*Verification, error) {
	r, err := Open(dir)
	if err == nil {
		return r.Verify(trusted...)
	}
	r = &Run{dir: dir}
	if !r.Has(AttestationFile) {
		return nil, err
	}
	v, failed := r.Verify(trusted...)
	if failed == nil && !slices.ContainsFunc(v.Problems, func(p Problem) bool { return p.File == ManifestFile }) {
		v.Problems = append(v.Problems, Problem{ManifestFile, err.Error()})
	}
	return v, failed
}

// Verify compares a run folder with what was signed, file by file. Where the key
// that signed is none of the trusted ones, the folder's own public key shows only that
// it is as whoever holds that key left it: Trusted is false then.
func (r *Run) Verify(trusted ...signing.PublicKey) (*Verification, error) {
	v := &Verification{}
	text, err := r.Read(AttestationFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not signed: the run has not come to its end, so there is nothing to verify", r.dir)
	}
	envelope, err := decodeEnvelope(text, err)
	if err != nil {
		v.Problems = append(v.Problems, Problem{AttestationFile, err.Error()})
		return v, nil
	}
	payload, err := r.open(envelope, trusted, v)
	if err != nil {
		v.Problems = append(v.Problems, Problem{AttestationFile, err.Error()})
		return v, nil
	}
	if err := json.Unmarshal(payload, &v.Statement); err != nil || v.Type != signing.StatementType || v.PredicateType != predicateType {
		v.Problems = append(v.Problems, Problem{AttestationFile, "what is signed is no statement about a run"})
		return v, nil
	}
	if id := r.manifest.Name(); r.manifest.Run != "" && id != r.manifest.Run {
		v.Problems = append(v.Problems, Problem{ManifestFile, fmt.Sprintf("it says that it is the run %s, and its content is that of %s", r.manifest.Run, id)})
	}
	return v, r.compare(v)
}

// open checks the signature: by a trusted key, else by the one in the folder.
func (r *Run) open(e *signing.Envelope, trusted []signing.PublicKey, v *Verification) ([]byte, error) {
	if e.PayloadType != signing.PayloadType {
		return nil, fmt.Errorf("it holds %q, not an in-toto statement", e.PayloadType)
	}
	keys := slices.Clone(trusted)
	if own, err := signing.ReadPublicKey(r.path(publicKeyFile)); err == nil {
		keys = append(keys, own)
	}
	for i, key := range keys {
		if payload, err := signing.Open(e, key); err == nil {
			v.Key, v.Trusted = key.ID(), i < len(trusted)
			return payload, nil
		}
	}
	return nil, errors.New("the signature fits neither a trusted key nor the folder's own: it was changed, or was signed by someone else")
}

// compare finds files that were changed, removed or added since they were signed.
func (r *Run) compare(v *Verification) error {
	names, err := r.Names("")
	if err != nil {
		return err
	}
	signed := map[string]string{}
	for _, s := range v.Subject {
		signed[s.Name] = s.Digest["sha256"]
	}
	for _, name := range names {
		want, ok := signed[name]
		if name == AttestationFile {
			continue
		}
		if !ok {
			v.Problems = append(v.Problems, Problem{name, "it was added after the run was signed"})
			continue
		}
		delete(signed, name)
		sum, err := r.digest(name)
		if err != nil || sum != want {
			v.Problems = append(v.Problems, Problem{name, "it was changed after the run was signed"})
			continue
		}
		v.Files++
	}
	for name := range signed {
		v.Problems = append(v.Problems, Problem{name, "it is missing"})
	}
	slices.SortFunc(v.Problems, func(a, b Problem) int { return strings.Compare(a.File, b.File) })
	return nil
}
