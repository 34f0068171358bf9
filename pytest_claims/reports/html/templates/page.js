"use strict";
// Everything below makes nodes and sets their text: no string that came from elsewhere is ever read as markup.
(() => {
  const PAGE = 50, BLOCK = 100;
  const get = (id) => document.getElementById(id);
  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const json = (id) => { const block = get(id); return block ? JSON.parse(block.textContent) : null; };
  // The blocks of JSON stand below the script, so that the table works while a large file is still read.
  const parsed = new Promise((done) => {
    if (document.readyState !== "loading") done();
    else document.addEventListener("DOMContentLoaded", done);
  });

  // --- theme ---
  const theme = get("_theme"), themes = ["system", "light", "dark"];
  const setTheme = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    theme.textContent = `Theme: ${name}`;
  };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme || "system") + 1) % 3]);
  });

  // --- the table ---
  const body = get("_rows"), rows = [...body.rows], folded = get("_folded");
  const members = folded ? [...folded.querySelectorAll("li")] : [];
  const statuses = new Set();
  const filters = { text: get("_text"), paper: get("_paper"), metric: get("_metric") };
  get("_controls").hidden = false;

  const filter = () => {
    const words = filters.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (node) => {
      const { status, paper, metric } = node.dataset;
      if (statuses.size && !statuses.has(status)) return false;
      if (filters.paper.value && filters.paper.value !== paper) return false;
      if (filters.metric.value && filters.metric.value !== metric) return false;
      const text = words.length ? `${node.textContent} ${paper}`.toLowerCase() : "";
      return words.every((word) => text.includes(word));
    };
    let shown = 0;
    for (const node of [...rows, ...members]) {
      node.hidden = !fits(node);
      shown += !node.hidden;
    }
    for (const row of folded ? folded.rows : []) {
      row.hidden = ![...row.querySelectorAll("li")].some((member) => !member.hidden);
    }
    get("_shown").textContent = `${shown} of ${rows.length + members.length} claims shown.`;
  };
  filters.text.addEventListener("input", filter);
  for (const choice of [filters.paper, filters.metric]) choice.addEventListener("change", filter);
  for (const button of document.querySelectorAll(".counts button")) {
    button.addEventListener("click", () => {
      const status = button.dataset.status;
      if (!statuses.delete(status)) statuses.add(status);
      button.setAttribute("aria-pressed", String(statuses.has(status)));
      filter();
    });
  }

  const NUMBERS = new Set(["reported", "measured", "difference", "status"]);
  const menu = get("_sort"), headings = [...document.querySelectorAll("th button[data-sort]")];
  let sorted = { key: "", down: false };
  const sort = (key, down) => {
    sorted = { key, down };
    const name = `by${key.charAt(0).toUpperCase()}${key.slice(1)}`;
    const compare = (one, other) => {
      const [a, b] = [one.dataset[name], other.dataset[name]];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined); // last, either way
      const order = NUMBERS.has(key) ? Number(a) - Number(b) : a < b ? -1 : Number(a > b);
      return down ? -order : order;
    };
    body.append(...(key ? [...rows].sort(compare) : rows));
    for (const button of headings) {
      const heading = button.parentElement;
      if (button.dataset.sort === key) heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    }
    menu.value = key;
  };
  for (const button of headings) {
    button.addEventListener("click", () => {
      const key = button.dataset.sort;
      sort(key, sorted.key === key && !sorted.down);
    });
  }
  menu.addEventListener("change", () => sort(menu.value, false));
  filter();

  // --- galleries ---
  const texts = new Map(), pictures = new Map();
  const keep = (map, id) => { if (!map.has(id)) map.set(id, json(id)); return map.get(id); };
  const picture = (key, image) => {
    const block = keep(pictures, `_thumbnails-${key}-${Math.floor(image / BLOCK)}`);
    return block ? block[image % BLOCK] : "";
  };

  const WORD = /[\p{L}\p{N}]+(?:['’]\p{L}+)?/gu;
  const wordsOf = (text) => [...text.matchAll(WORD)];
  const grams = (words, n) => words.slice(n - 1).map((_, i) => words.slice(i, i + n).join(" "));
  // For each word of an output, the length of the longest n-gram (up to 4) around it that a reference has too.
  const marked = (output, references) => {
    const known = new Set();
    for (const reference of references) {
      const words = wordsOf(reference).map((match) => match[0].toLowerCase());
      for (let n = 1; n <= 4; n += 1) for (const gram of grams(words, n)) known.add(gram);
    }
    const found = wordsOf(output), words = found.map((match) => match[0].toLowerCase());
    const longest = words.map(() => 0);
    for (let n = 1; n <= 4; n += 1) {
      grams(words, n).forEach((gram, i) => { if (known.has(gram)) longest.fill(n, i, i + n); });
    }
    const line = make("p", "caption");
    let end = 0;
    found.forEach((match, i) => {
      line.append(output.slice(end, match.index));
      end = match.index + match[0].length;
      line.append(longest[i] ? make("mark", `n${longest[i]}`, match[0]) : match[0]);
    });
    line.append(output.slice(end));
    return line;
  };

  // The first of a ranking; those that are right are marked.
  const ranking = (ranked, references) => {
    const list = make("ol", "ranked");
    list.setAttribute("aria-label", "Ranking");
    for (const one of ranked) {
      const node = make("li");
      node.append(references.includes(one) ? make("mark", "n4", one) : one);
      list.append(node);
    }
    return list;
  };
  const named = (extras) => {
    const list = make("dl", "extras");
    for (const [name, text] of extras) {
      const pair = make("div");
      pair.append(make("dt", "", name), make("dd", "", text));
      list.append(pair);
    }
    return list;
  };

  const gallery = (details) => {
    const { key, scores: number, anchor, rows: rowName } = details.dataset;
    const inside = details.querySelector(".gallery-body"), list = details.querySelector(".images");
    const query = details.querySelector(".query"), order = details.querySelector(".order");
    const [previous, where, next] = [".previous", ".where", ".next"].map((name) => details.querySelector(name));
    const bars = [...details.querySelectorAll("[data-bar]")];
    const pressed = new Set();
    let data = null, scores = [], layout = null, haystack = [], found = [], page = 0, linked = -1, rank = null;

    const barOf = (image) => {
      const score = scores[image];
      if (score === null || !layout) return -1;
      const [low, step, count] = layout;
      return Math.min(count - 1, Math.floor((score - low) / step));
    };
    const item = (image) => {
      const id = data.ids[image], node = make("li"), address = picture(key, image);
      node.tabIndex = -1;
      if (address) {
        const shown = make("img");
        shown.alt = `Image ${id}`;
        shown.decoding = "async";
        shown.src = address;
        node.append(shown);
      }
      const text = make("div", address ? "" : "plain"), head = make("p", "head"), link = make("a", "", id);
      link.href = `#${anchor}/${encodeURIComponent(id)}`;
      head.append(link, make("span", "score", scores[image] === null ? "no score" : `score ${scores[image].toFixed(2)}`));
      const references = make("ul"), known = data.references[image] || [], ranked = data.ranked[image] || [];
      references.setAttribute("aria-label", "References");
      for (const reference of known) references.append(make("li", "", reference));
      text.append(head);
      if (data.extras[image]?.length) text.append(named(data.extras[image]));
      if (data.outputs[image] || !ranked.length) text.append(marked(data.outputs[image], known));
      if (ranked.length) text.append(ranking(ranked, known));
      text.append(references);
      node.append(text);
      if (image === linked) node.classList.add("linked");
      return node;
    };
    const show = () => {
      const pages = Math.max(1, Math.ceil(found.length / PAGE));
      page = Math.min(Math.max(page, 0), pages - 1);
      const start = page * PAGE, shown = found.slice(start, start + PAGE);
      list.replaceChildren(...shown.map(item));
      previous.disabled = page === 0;
      next.disabled = page === pages - 1;
      where.textContent = found.length
        ? `${rowName.charAt(0).toUpperCase()}${rowName.slice(1)}s ${start + 1} to ${start + shown.length} of ${found.length}${found.length < data.ids.length ? ` (${data.ids.length} in all)` : ""}`
        : `No ${rowName} fits the filters.`;
    };
    const select = () => {
      const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
      if (words.length && !haystack.length) {
        const all = (i) => [data.ids[i], data.outputs[i], data.references[i] || [], data.ranked[i] || [], data.extras[i] || []];
        haystack = data.ids.map((_, i) => all(i).flat(2).join("\n").toLowerCase());
      }
      found = [];
      for (let i = 0; i < data.ids.length; i += 1) {
        if (pressed.size && !pressed.has(barOf(i))) continue;
        if (words.every((word) => haystack[i].includes(word))) found.push(i);
      }
      if (order.value !== "id") {
        const sign = order.value === "high" ? -1 : 1;
        const value = (i) => scores[i] === null ? Infinity : sign * scores[i]; // without a score: last
        found.sort((a, b) => value(a) - value(b) || a - b);
      }
      page = 0;
      show();
    };
    const press = (bar, down) => {
      const index = Number(bar.dataset.bar);
      if (down) pressed.add(index); else pressed.delete(index);
      bar.setAttribute("aria-pressed", String(down));
    };
    const clear = () => {
      query.value = "";
      for (const bar of bars) press(bar, false);
    };
    const open = async () => {
      await parsed;
      if (data) return;
      data = keep(texts, `_texts-${key}`);
      const block = json(`_scores-${number}`);
      scores = block.scores;
      layout = block.bars;
      inside.hidden = false;
      select();
    };
    const turn = (step) => { page += step; show(); where.scrollIntoView({ block: "nearest" }); };
    details.addEventListener("toggle", () => { if (details.open) open(); });
    query.addEventListener("input", select);
    order.addEventListener("change", select);
    previous.addEventListener("click", () => turn(-1));
    next.addEventListener("click", () => turn(1));
    details.querySelector(".clear").addEventListener("click", () => { clear(); select(); });
    for (const bar of bars) {
      const toggle = () => { press(bar, !pressed.has(Number(bar.dataset.bar))); select(); };
      bar.addEventListener("click", toggle);
      bar.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        toggle();
      });
    }
    return {
      // Shows one image, whatever the filters are.
      async reveal(id) {
        details.open = true;
        await open();
        rank = rank || new Map(data.ids.map((name, i) => [name, i]));
        if (!rank.has(id)) return;
        linked = rank.get(id);
        clear();
        select();
        page = Math.floor(found.indexOf(linked) / PAGE);
        show();
        const node = list.querySelector(".linked");
        node.scrollIntoView({ block: "center" });
        node.focus({ preventScroll: true });
      },
    };
  };
  const galleries = new Map();
  for (const details of document.querySelectorAll(".gallery")) galleries.set(details.dataset.anchor, gallery(details));

  // --- links: #claim, #claim/image ---
  const follow = () => {
    const [claim, image] = location.hash.slice(1).split("/", 2);
    const target = claim && get(claim);
    if (!target) return;
    const around = target.closest(".fold details"); // a claim that was folded away
    if (around) { around.open = true; target.scrollIntoView(); }
    if (image === undefined || !galleries.has(claim)) return;
    let id;
    try { id = decodeURIComponent(image); } catch { return; }
    galleries.get(claim).reveal(id);
  };
  window.addEventListener("hashchange", follow);
  follow();

  // --- print: what is folded is opened for the paper and closed again ---
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not(.gallery):not([open])")];
    for (const details of opened) details.open = true;
  });
  window.addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
})();
