import { cases } from './adamw.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('adamw', cases);
