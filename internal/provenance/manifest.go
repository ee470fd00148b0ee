package provenance

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"assay/internal/signing"
)

// predicateType is that of the specification (5.1).
const predicateType = "https://model_signing/signature/v1.0"

// predicate is what is signed (5.2).
type predicate struct {
	Resources     []resource    `json:"resources"`
	Serialization serialization `json:"serialization"`
}

// resource is a file, or a shard of one, whose name is then path:from:to.
type resource struct {
	Name      string `json:"name"`
	Digest    string `json:"digest"`
	Algorithm string `json:"algorithm"`
}

// serialization says how files were listed and hashed.
type serialization struct {
	Method        string   `json:"method"`
	HashType      string   `json:"hash_type"`
	ShardSize     int64    `json:"shard_size,omitempty"`
	AllowSymlinks bool     `json:"allow_symlinks"`
	IgnorePaths   []string `json:"ignore_paths,omitempty"`
}

// Manifest says which files a model or dataset has, and their digests.
type Manifest struct {
	Name   string // of the folder or file
	Digest string // of the digests of all resources: SHA-256 in hexadecimal

	signed        []signed // by name
	serialization serialization
}

// signed is a file as it was signed.
type signed struct {
	name    string
	digests []string // one, or those of its shards
	size    int64    // of sharded files, else -1
}

// Files gives the names of the files.
func (m *Manifest) Files() []string {
	names := make([]string, len(m.signed))
	for i, s := range m.signed {
		names[i] = s.name
	}
	return names
}

// newManifest hashes files.
func newManifest(ctx context.Context, name string, files []File, ignored []string, o Options) (*Manifest, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no files to sign", name)
	}
	sums, err := digests(ctx, files, usualHash, 0, o)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Name: name, serialization: serialization{Method: "files", HashType: usualHash, IgnorePaths: ignored}}
	for i, f := range files {
		m.signed = append(m.signed, signed{f.Name, sums[i], -1})
	}
	m.Digest, err = rootDigest(m.predicate().Resources)
	return m, err
}

func (m *Manifest) predicate() predicate {
	p := predicate{Serialization: m.serialization}
	for _, s := range m.signed {
		p.Resources = append(p.Resources, resource{s.name, s.digests[0], m.serialization.HashType})
	}
	return p
}

// rootDigest is the digest of all digests in their order (6.5.1).
func rootDigest(resources []resource) (string, error) {
	h := sha256.New()
	for _, r := range resources {
		raw, err := hex.DecodeString(r.Digest)
		if err != nil {
			return "", fmt.Errorf("the digest of %q is no hexadecimal number", r.Name)
		}
		h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readManifest reads a signed statement. All that does not make sense is an error, as is what
// this program cannot check.
func readManifest(payload []byte) (*Manifest, error) {
	var s signing.Statement[predicate]
	if err := json.Unmarshal(payload, &s); err != nil {
		return nil, fmt.Errorf("what is signed cannot be read: %w", err)
	}
	p := s.Predicate
	switch {
	case s.Type != signing.StatementType || s.PredicateType != predicateType:
		return nil, fmt.Errorf("what is signed is no statement about a model: its type is %q, and %q is needed", s.PredicateType, predicateType)
	case len(s.Subject) != 1 || len(p.Resources) == 0:
		return nil, errors.New("what is signed names no model, or no files")
	case hashes[p.Serialization.HashType] == nil:
		return nil, fmt.Errorf("its files were hashed by %q, which is not known here: sha256 and blake2b are", p.Serialization.HashType)
	}
	m := &Manifest{Name: s.Subject[0].Name, serialization: p.Serialization}
	var err error
	if m.Digest, err = rootDigest(p.Resources); err != nil {
		return nil, err
	}
	if want := s.Subject[0].Digest["sha256"]; want != m.Digest {
		return nil, errors.New("what is signed contradicts itself: the digest of the model is not that of its files")
	}
	switch p.Serialization.Method {
	case "files":
		err = m.whole(p.Resources)
	case "shards":
		err = m.sharded(p.Resources)
	default:
		err = fmt.Errorf("its files were listed by the method %q, which is not known here: files and shards are", p.Serialization.Method)
	}
	slices.SortFunc(m.signed, func(a, b signed) int { return strings.Compare(a.name, b.name) })
	for i, f := range m.signed {
		if err == nil && !canonical(f.name) && !m.alone() {
			err = fmt.Errorf("it names the file %q, and names are relative paths within the model", f.name)
		}
		if err == nil && i > 0 && f.name == m.signed[i-1].name {
			err = fmt.Errorf("it names the file %q twice", f.name)
		}
	}
	return m, err
}

// alone reports whether the manifest is of a single file whose name was not recorded: the
// format's first implementations called it ".".
func (m *Manifest) alone() bool { return len(m.signed) == 1 && m.signed[0].name == "." }

func (m *Manifest) check(r resource) error {
	if r.Algorithm != m.serialization.HashType || len(r.Digest) != 2*hashes[r.Algorithm]().Size() {
		return fmt.Errorf("the digest of %q is not by %s, as it says of all", r.Name, m.serialization.HashType)
	}
	return nil
}

func (m *Manifest) whole(resources []resource) error {
	if m.serialization.ShardSize != 0 {
		return errors.New("it says both that files were hashed whole and in shards")
	}
	for _, r := range resources {
		if err := m.check(r); err != nil {
			return err
		}
		m.signed = append(m.signed, signed{r.Name, []string{strings.ToLower(r.Digest)}, -1})
	}
	return nil
}

// sharded joins the shards of each file, which must follow one another from 0.
func (m *Manifest) sharded(resources []resource) error {
	size := m.serialization.ShardSize
	if size < 1 {
		return errors.New("its files were hashed in shards of no size")
	}
	type shard struct {
		resource
		path     string
		from, to int64
	}
	var shards []shard
	for _, r := range resources {
		if err := m.check(r); err != nil {
			return err
		}
		rest, last, ok1 := cutLast(r.Name)
		name, first, ok2 := cutLast(rest)
		from, err1 := strconv.ParseInt(first, 10, 64)
		to, err2 := strconv.ParseInt(last, 10, 64)
		if !ok1 || !ok2 || errors.Join(err1, err2) != nil || from < 0 || to <= from || to-from > size {
			return fmt.Errorf("%q is no shard of a file: its name should end in :from:to", r.Name)
		}
		shards = append(shards, shard{r, name, from, to})
	}
	slices.SortStableFunc(shards, func(a, b shard) int {
		return cmp.Or(strings.Compare(a.path, b.path), cmp.Compare(a.from, b.from))
	})
	for _, s := range shards {
		if n := len(m.signed); n == 0 || m.signed[n-1].name != s.path {
			m.signed = append(m.signed, signed{name: s.path})
		}
		f := &m.signed[len(m.signed)-1]
		if s.from != f.size || f.size%size != 0 {
			return fmt.Errorf("the shards of %q do not follow one another", s.path)
		}
		f.digests, f.size = append(f.digests, strings.ToLower(s.Digest)), s.to
	}
	return nil
}

func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

// Compare compares files with those that were signed, each by name and content, and says of
// every other file what is wrong with it. It gives the names of those that are as they were.
func (m *Manifest) Compare(ctx context.Context, files []File, o Options) (same []string, problems []Problem, err error) {
	sums, err := digests(ctx, files, m.serialization.HashType, m.serialization.ShardSize, o)
	if err != nil {
		return nil, nil, err
	}
	if m.alone() && len(files) == 1 {
		m.signed[0].name = files[0].Name
	}
	there, bySum := map[string]int{}, map[string]string{}
	for i, f := range files {
		there[f.Name] = i
	}
	for _, s := range m.signed {
		bySum[strings.Join(s.digests, " ")] = s.name
	}
	renamed := map[string]string{} // what became of files that are not there
	names := map[string]bool{}
	for _, s := range m.signed {
		names[s.name] = true
	}
	for i, f := range files {
		if was, ok := bySum[strings.Join(sums[i], " ")]; ok && !names[f.Name] {
			if _, there := there[was]; !there {
				renamed[was] = f.Name
				problems = append(problems, Problem{f.Name, fmt.Sprintf("it is not signed by this name: it was signed as %s", was)})
				continue
			}
		}
		if !names[f.Name] && (len(sums[i]) > 0 || m.serialization.ShardSize == 0) { // shards have no empty files
			problems = append(problems, Problem{f.Name, "it is not signed: it was added"})
		}
	}
	for _, s := range m.signed {
		i, ok := there[s.name]
		switch {
		case !ok && renamed[s.name] != "":
			problems = append(problems, Problem{s.name, fmt.Sprintf("it is missing: it was renamed to %s", renamed[s.name])})
		case !ok:
			problems = append(problems, Problem{s.name, "it is missing"})
		case slices.Equal(sums[i], s.digests):
			same = append(same, s.name)
		default:
			detail := "it was changed since it was signed"
			if other := bySum[strings.Join(sums[i], " ")]; other != "" {
				detail = fmt.Sprintf("it was changed since it was signed: its content is that of %s", other)
			}
			problems = append(problems, Problem{s.name, detail})
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.File, b.File) })
	return same, problems, nil
}
