package supplychain

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/provenance"
	"assay/internal/signing"
)

// verification tests prevention: each file that is loaded must be verified.
type verification struct {
	tester    *Tester
	artefacts []*artefact
}

const conformity = "record-conformity"

// verified is what verifying an artefact found, once for all of its files.
type verified struct {
	signer   string
	files    map[string]bool
	problems []provenance.Problem
	refused  string // why none of the files counts; empty where they do
}

// unit is a file of an artefact.
type unit struct {
	*artefact
	file
}

func (v *verification) all(ctx context.Context) ([]unit, error) { return unitsOf(ctx, v.artefacts) }

func unitsOf(ctx context.Context, artefacts []*artefact) (units []unit, err error) {
	for _, a := range artefacts {
		files, err := a.expand(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			units = append(units, unit{a, f})
		}
	}
	return units, nil
}

func (v *verification) units(ctx context.Context) (int, error) {
	units, err := v.all(ctx)
	return len(units), err
}

func (v *verification) observe(ctx context.Context, i int) (assess.Observation, error) {
	units, err := v.all(ctx)
	if err != nil {
		return assess.Observation{}, err
	}
	u := units[i]
	state, err := v.tester.verify(ctx, u.artefact)
	if err != nil {
		return assess.Observation{}, err
	}
	d := detail{File: u.shown, Signer: state.signer, Problem: state.wrong(u.file)}
	return observation(i, conformity, d.Problem == "", d)
}

// wrong tells why a file is not verified. A signature of which anything does not hold
// vouches for nothing.
func (s *verified) wrong(f file) string {
	for _, p := range s.problems {
		if p.File == f.name {
			return p.Detail
		}
	}
	switch {
	case s.refused != "":
		return s.refused
	case len(s.problems) > 0:
		return "what was signed with it is not as it was: " + s.problems[0].String()
	case f.outside || !s.files[f.name]:
		return "the signature says nothing of it"
	}
	return ""
}

// verify verifies an artefact, once.
func (t *Tester) verify(ctx context.Context, a *artefact) (*verified, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.states[a.at]; s != nil {
		return s, nil
	}
	s, err := t.newVerified(ctx, a)
	if err == nil {
		t.states[a.at] = s
	}
	return s, err
}

func (t *Tester) newVerified(ctx context.Context, a *artefact) (*verified, error) {
	by := a.signature
	if by == nil {
		return &verified{refused: "it is not signed"}, nil
	}
	var keys, roots []string
	if by.Key != "" {
		keys = []string{t.system.Path(by.Key)}
	}
	if by.Roots != "" {
		roots = []string{t.system.Path(by.Roots)}
	}
	trust, err := provenance.ReadTrust(keys, nil, roots, by.Identity, t.now())
	if err != nil {
		return nil, t.system.Mistake(a.at+".signature", "%v", err)
	}
	at := t.system.Path(by.File)
	v, err := provenance.Verify(ctx, a.root, at, nil, trust, provenance.Options{})
	switch {
	case err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrPermission):
		return &verified{refused: err.Error()}, nil
	case err != nil:
		return nil, err
	case v.Signer == "":
		return &verified{refused: fmt.Sprintf("its signature (%s) does not count: %s", by.File, v.Problems[0].Detail)}, nil
	}
	s := &verified{signer: v.Signer, problems: v.Problems, files: map[string]bool{}}
	for _, name := range v.Files {
		s.files[name] = true
	}
	return s, nil
}

// tampering is what the verifier said of files that were changed.
type tampering struct {
	Untouched []string `json:"untouched"` // what it held against files as they are: nothing, if it is right
	Files     int      `json:"files"`
	Cases     []change `json:"cases"`
}

// change is one way of tampering.
type change struct {
	What    string `json:"what"`
	File    string `json:"file"`
	Refused bool   `json:"refused"` // by the file's name, where a file was changed
}

// control signs the very files with a key of its own, changes them in memory in every way, and
// has the verifier say what it finds. So it does not depend on who signed them, and touches nothing.
func (v *verification) control(ctx context.Context, test *assess.Test, _ []int) (any, error) {
	var files []provenance.File
	for _, a := range v.artefacts {
		expanded, err := a.expand(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range expanded {
			listed, _, err := provenance.List(ctx, f.path, nil)
			if err != nil {
				continue // a link, which is no unit that could be verified either
			}
			listed[0].Name = strings.TrimLeft(f.shown, "/")
			files = append(files, listed[0])
		}
	}
	if len(files) == 0 {
		return tampering{Untouched: []string{"there is no file to change"}}, nil
	}
	key := signing.NewKey(sha256.Sum256(fmt.Appendf(nil, "control\x00%d", test.Seed)))
	bundle, err := provenance.SignFiles(ctx, test.Model, files, provenance.Signer{Key: key})
	if err != nil {
		return nil, err
	}
	return tamper(ctx, files, bundle, key.Public(), test.Seed)
}

func tamper(ctx context.Context, files []provenance.File, bundle []byte, key signing.PublicKey, seed uint64) (*tampering, error) {
	signature, err := provenance.Open(bundle, provenance.Trust{Keys: []signing.PublicKey{key}})
	if err != nil {
		return nil, err
	}
	out := &tampering{Files: len(files)}
	same, problems, err := signature.Manifest.Compare(ctx, files, provenance.Options{})
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		out.Untouched = append(out.Untouched, p.String())
	}
	if len(same) != len(files) {
		out.Untouched = append(out.Untouched, fmt.Sprintf("%d of %d files", len(same), len(files)))
	}
	for _, c := range changes(files) {
		_, problems, err := signature.Manifest.Compare(ctx, c.files, provenance.Options{})
		if err != nil {
			return nil, err
		}
		named := slices.ContainsFunc(problems, func(p provenance.Problem) bool { return p.File == c.name })
		out.Cases = append(out.Cases, change{c.what, c.name, named})
	}
	stranger := signing.NewKey(sha256.Sum256(fmt.Appendf(nil, "stranger\x00%d", seed))).Public()
	_, err = provenance.Open(bundle, provenance.Trust{Keys: []signing.PublicKey{stranger}})
	out.Cases = append(out.Cases, change{"signed by a stranger", "", err != nil})
	_, err = provenance.Open([]byte("{}"), provenance.Trust{Keys: []signing.PublicKey{key}})
	out.Cases = append(out.Cases, change{"not signed", "", err != nil})
	return out, nil
}

// tampered are files of which one was changed.
type tampered struct {
	what, name string
	files      []provenance.File
}

// changes gives the files changed in every way, each time another one of them where there are several.
func changes(files []provenance.File) []tampered {
	var out []tampered
	at := func(i int) int { return i % len(files) }
	add := func(what, name string, files []provenance.File) { out = append(out, tampered{what, name, files}) }
	with := func(i int, f provenance.File) []provenance.File {
		c := slices.Clone(files)
		c[at(i)] = f
		return c
	}
	text := func(name, content string) provenance.File {
		return provenance.File{Name: name, Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
	}
	first := files[at(0)]
	add("one byte more", first.Name, with(0, provenance.File{Name: first.Name, Size: first.Size + 1, Open: longer(first)}))
	second := files[at(1)]
	add("other content", second.Name, with(1, text(second.Name, "other content")))
	third := files[at(2)]
	add("one bit flipped", third.Name, with(2, provenance.File{Name: third.Name, Size: third.Size, Open: flipped(third)}))
	renamed := files[at(3)]
	renamed.Name += ".renamed"
	add("renamed", files[at(3)].Name, with(3, renamed))
	add("removed", files[at(4)].Name, slices.Delete(slices.Clone(files), at(4), at(4)+1))
	add("added", "added.bin", append(slices.Clone(files), text("added.bin", "anything")))
	return out
}

func longer(f provenance.File) func() (io.ReadCloser, error) {
	return changed(f, func(r io.Reader) io.Reader { return io.MultiReader(r, strings.NewReader("\x00")) })
}

// flipped changes the first byte; of an empty file it makes one.
func flipped(f provenance.File) func() (io.ReadCloser, error) {
	return changed(f, func(r io.Reader) io.Reader {
		var one [1]byte
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return strings.NewReader("\x01")
		}
		return io.MultiReader(strings.NewReader(string([]byte{one[0] ^ 1})), r)
	})
}

func changed(f provenance.File, how func(io.Reader) io.Reader) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{how(r), r}, nil
	}
}

func (t tampering) checks() []criteria.Check {
	var missed []string
	for _, c := range t.Cases {
		if !c.Refused {
			missed = append(missed, strings.TrimSuffix(c.What+" of "+c.File, " of "))
		}
	}
	found := criteria.Check{Name: "positive-control", Passed: len(missed) == 0 && len(t.Cases) > 0,
		Detail: fmt.Sprintf("%d of %d copies that were tampered with, signed by a stranger or not signed were refused", len(t.Cases)-len(missed), len(t.Cases))}
	if len(missed) > 0 {
		found.Detail += ", not those with " + strings.Join(missed, ", ")
	}
	quiet := criteria.Check{Name: "negative-control", Passed: len(t.Untouched) == 0 && t.Files > 0,
		Detail: fmt.Sprintf("%d files as they are were accepted under a signature made for the control", t.Files)}
	if !quiet.Passed {
		quiet.Detail = "files as they are were refused: " + strings.Join(t.Untouched, ", ")
	}
	return []criteria.Check{found, quiet}
}
