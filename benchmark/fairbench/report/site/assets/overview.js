"use strict";

/* A link to a view of a board was made when the boards stood on this page: it leads on to where the board is now. */

const [id, query] = location.hash.slice(1).split("?", 2);
const link = document.getElementById(id)?.querySelector("th a");
if (link && query) location.replace(`${link.href}?${query}`);
