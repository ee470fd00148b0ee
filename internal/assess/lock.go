package assess

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"assay/internal/criteria"
	"assay/internal/evidence"
)

// Lock records which criteria were fixed, and when: before any observation. It lies
// beside assay.yaml, and each run keeps a copy. It may pin the models and data as well.
type Lock struct {
	Schema    string           `json:"schema"`
	Criteria  []Locked         `json:"criteria"`
	Replaced  []Locked         `json:"replaced,omitempty"`  // former criteria; what was observed for them is void
	Artefacts []evidence.Input `json:"artefacts,omitempty"` // pinned models and data
}

const lockSchema = "assay-lock/1"

// Locked is one criterion, as it was when it was locked.
type Locked struct {
	Decision  string             `json:"decision"`
	Digest    string             `json:"digest"`
	Time      time.Time          `json:"time"`
	Criterion criteria.Criterion `json:"criterion"`
	Attacker  Attacker           `json:"attacker"`
	Data      string             `json:"data"`
}

// OpenLock reads a lock; where there is none it is empty.
func OpenLock(path string) (*Lock, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Lock{Schema: lockSchema}, nil
	}
	if err != nil {
		return nil, err
	}
	l := &Lock{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(l)
	if err == nil && l.Schema != lockSchema {
		err = fmt.Errorf("its form is %q and not %q", l.Schema, lockSchema)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it from your version control; without it earlier runs cannot be shown to be older than their criteria", path, err)
	}
	return l, nil
}

// Fix locks the criteria of planned decisions, as far as they are tested. It gives those that replaced a former
// one; runs for the former ones are void from now on.
func (l *Lock) Fix(decisions []PlannedDecision, now time.Time) (changed []Locked) {
	for i := range decisions {
		d := &decisions[i]
		if d.Test == "" {
			continue
		}
		fixed := Locked{d.ID, d.Digest, now.UTC().Truncate(time.Second), d.Criterion, d.Attacker, d.Data}
		at := slices.IndexFunc(l.Criteria, func(c Locked) bool { return c.Decision == d.ID })
		switch {
		case at < 0:
			l.Criteria = append(l.Criteria, fixed)
		case l.Criteria[at].Digest != d.Digest:
			changed = append(changed, l.Criteria[at])
			l.Replaced = append(l.Replaced, l.Criteria[at])
			l.Criteria[at] = fixed
		}
	}
	return changed
}

// Write writes the lock, whole or not at all.
func (l *Lock) Write(path string) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("the lock of the criteria: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("the lock of the criteria: %w", err)
	}
	return nil
}

// of is the part of the lock that is about the given decisions: what a run keeps.
func (l *Lock) of(decisions []PlannedDecision) *Lock {
	other := func(c Locked) bool {
		return !slices.ContainsFunc(decisions, func(d PlannedDecision) bool { return d.ID == c.Decision })
	}
	return &Lock{Schema: lockSchema, Criteria: slices.DeleteFunc(slices.Clone(l.Criteria), other), Replaced: slices.DeleteFunc(slices.Clone(l.Replaced), other)}
}

// Void tells why evidence for the planned decisions of a run does not count, by
// decision: criteria that are not those it was locked under. Now are the decisions
// that the system's description asks for today, nil where it is not at hand. Decisions without
// a test have no evidence.
func Void(run []PlannedDecision, locked *Lock, now []PlannedDecision) map[string]string {
	void := map[string]string{}
	for i := range run {
		d := &run[i]
		if d.Test == "" {
			continue
		}
		at := slices.IndexFunc(locked.Criteria, func(c Locked) bool { return c.Decision == d.ID })
		switch {
		case at < 0:
			void[d.ID] = "its criterion was not locked before the run"
		case d.lockDigest() != d.Digest || locked.Criteria[at].Digest != d.Digest:
			void[d.ID] = fmt.Sprintf("its criterion is not the one that was locked on %s", locked.Criteria[at].Time.Format(time.DateTime))
		}
		if today := slices.IndexFunc(now, func(n PlannedDecision) bool { return n.ID == d.ID }); today >= 0 && now[today].Digest != d.Digest {
			void[d.ID] = fmt.Sprintf("its criterion was edited after the run (%s): run the assessment again", edit(d, &now[today]))
		} else if now != nil && today < 0 {
			void[d.ID] = "the description of the system does not ask for it any more"
		}
	}
	return void
}

// edit tells what differs between two plans of the same decision.
func edit(was, is *PlannedDecision) string {
	a, b := was.Criterion, is.Criterion
	switch {
	case a.Limit != b.Limit:
		return fmt.Sprintf("the limit was %g and is %g", a.Limit, b.Limit)
	case a.Confidence != b.Confidence:
		return fmt.Sprintf("the confidence was %g and is %g", a.Confidence, b.Confidence)
	case a.Metric != b.Metric || a.Relation != b.Relation:
		return fmt.Sprintf("it asked for %s %s and asks for %s %s", a.Metric, a.Relation, b.Metric, b.Relation)
	case a.Sampling != b.Sampling:
		return "another rule of sampling"
	case was.Attacker != is.Attacker:
		return "another attacker"
	case was.Data != is.Data:
		return fmt.Sprintf("the data were %s and are %s", was.Data, is.Data)
	}
	return "its costs or checks"
}
