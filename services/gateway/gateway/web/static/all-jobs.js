/** The list of all jobs: the server renders it, the browser tells its moments. */

import { localize } from "./moments.js";

localize(document);
